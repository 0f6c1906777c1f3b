#!/usr/bin/env python
"""How many notebooks passed and failed in a run of nbdev_test, which does not say: `PASSED FAILED` on one line.

  python .ci/count.py LOG EXIT_CODE     LOG holds stdout and stderr of the run
"""
import re, sys
from pathlib import Path

def eligible() -> list:
    "The notebooks that `nbdev_test` runs, without those whose front matter says `skip_exec`."
    from fastcore.xtras import str2bool
    from nbdev.doclinks import nbglob
    from nbdev.frontmatter import FrontmatterProc
    from nbdev.process import NBProcessor
    files = [o for o in nbglob(as_path=True) if not (o.parent/'.notest').exists()]
    meta = lambda o: getattr(NBProcessor(o, procs=FrontmatterProc, process=True).nb, 'frontmatter_', {})
    return [o for o in files if not str2bool(meta(o).get('skip_exec', False))]

def count(log:str, code:int, files:list) -> tuple:
    "Passed and failed; a run that does not end in a verdict of its own is one failure."
    if code == 0 and re.search(r'^Success\.$', log, re.M) and files: return len(files),0
    listed = re.search(r'^nbdev Tests Failed On The Following Notebooks:\n=+\n((?:\t.+\n?)+)', log, re.M)
    if not listed: return 0,1
    failed = len(listed[1].splitlines())
    return len(files)-failed,failed

if __name__ == '__main__':
    print(*count(Path(sys.argv[1]).read_text(encoding='utf-8', errors='replace'), int(sys.argv[2]), eligible()))
