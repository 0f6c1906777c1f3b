#!/usr/bin/env python
"""Run a command that should change nothing, and exit with 1 when it did.

  python .ci/sync.py nbdev_export

Files that git ignores are not looked at. It repairs what it finds, so use it on a copy.
"""
import difflib, subprocess, sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
watched = ('nbs', 'dia_nvtts', 'settings.ini', 'setup.py', 'pyproject.toml', '_quarto.yml', 'README.md')
generated = ('nbs/nbdev.yml',)
folders = ('__pycache__', '.ipynb_checkpoints', '.hypothesis')

def snapshot() -> dict:
    "Path -> content of all files that matter."
    files = [p for o in watched for p in ([root/o] if (root/o).is_file() else sorted((root/o).rglob('*'))) if p.is_file()]
    names = {str(p.relative_to(root)): p for p in files if not any(o in folders for o in p.parts)}
    return {name: p.read_bytes() for name,p in names.items() if name not in generated and not name.endswith('.bak')}

def show(name:str, old:bytes|None, new:bytes|None):
    print(f"{name}: {'new' if old is None else 'gone' if new is None else 'changed'}")
    if old is None or new is None: return
    text = [o.decode('utf-8', 'replace').splitlines(True) for o in (old,new)]
    sys.stdout.writelines(list(difflib.unified_diff(*text, name, 'after'))[:40])

def main():
    before = snapshot()
    done = subprocess.run(sys.argv[1:], cwd=root).returncode
    after = snapshot()
    changed = [o for o in sorted(before|after) if before.get(o) != after.get(o)]
    for o in changed: show(o, before.get(o), after.get(o))
    if not done and not changed: return print(f"{' '.join(sys.argv[1:])} changes nothing, {len(before)} files looked at")
    sys.exit(f"{' '.join(sys.argv[1:])}: exit code {done}, {len(changed)} files changed")

if __name__ == '__main__': main()
