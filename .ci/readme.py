#!/usr/bin/env python
"""Render README.md from nbs/index.ipynb, check that the two agree, or give one of the README's commands.

  python .ci/readme.py                    write README.md
  python .ci/readme.py --check            exit code 1 and a diff when README.md is not what the notebook says
  python .ci/readme.py --command WORD     print the one shell command of the README in which WORD stands

`--command` needs the standard library only: it runs before anything is installed.
"""
import argparse, difflib, re, sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
index,readme = root/'nbs'/'index.ipynb',root/'README.md'
note = '<!-- Written from nbs/index.ipynb by .ci/readme.py: edit the notebook, not this file. -->'
width = 88 # characters of code that GitHub shows without scrolling
dropped = re.compile(r'^#\|\s*(hide|export|default_exp|exec_doc|echo:\s*false|include:\s*false)\b', re.M)

def render() -> str:
    "The text of README.md."
    import nbformat
    from nbconvert import MarkdownExporter
    nb = nbformat.read(index, as_version=4)
    nb.cells = [o for o in nb.cells if not (o.cell_type == 'code' and dropped.search(o.source))]
    text,resources = MarkdownExporter().from_notebook_node(nb)
    if resources.get('outputs'): sys.exit('index.ipynb has picture outputs: put pictures into nbs/images and link them')
    text = re.sub(r'(\[[^\]]*\]\(|<img[^>]*src=")(?![a-z]+:|#)', r'\1nbs/', text) # README.md lies one folder higher
    lost = [o for o in re.findall(r'\]\((nbs/[^)#]*)', text) if not (root/o).exists()]
    if lost: sys.exit(f'index.ipynb links what is not there: {", ".join(lost)}')
    text = re.sub(r'[ \t]+$', '', text, flags=re.M)
    blocks = re.findall(r'^```\w*\n(.*?)^```', text, flags=re.M|re.S)
    wide = [o for block in blocks for o in block.splitlines() if len(o) > width]
    if wide: sys.exit(f'README.md: code of over {width} characters runs out of its box: {wide[0]}')
    return f'{note}\n\n' + re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'

def command(word:str) -> str:
    "The only line of a fenced bash block of README.md that runs `word`."
    blocks = re.findall(r'^```\s*(?:bash|sh)\s*\n(.*?)^```', readme.read_text(encoding='utf-8'), flags=re.M|re.S)
    lines = [o.strip() for block in blocks for o in block.splitlines() if not o.strip().startswith('#')]
    found = [o for o in lines if re.search(rf'(^|[\s;&|]){re.escape(word)}($|[\s;&|])', o)]
    if len(found) != 1: sys.exit(f'README.md: expected one command with {word}, found {len(found)}')
    return found[0]

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--command', metavar='WORD')
    args = parser.parse_args()
    if args.command: return print(command(args.command))
    new = render()
    if not args.check: return readme.write_text(new, encoding='utf-8')
    old = readme.read_text(encoding='utf-8')
    if old == new: return print('README.md is what nbs/index.ipynb says')
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), 'README.md', 'nbs/index.ipynb'))
    sys.exit('README.md differs from nbs/index.ipynb: run python .ci/readme.py')

if __name__ == '__main__': main()
