#!/usr/bin/env python
"""Count the house, and say where a page has become a module poured into cells.

  python .ci/house.py            counts, and every place that leaves the rules
  python .ci/house.py --counts   the counts alone

The rules: an exported cell has at most 45 lines and one public function or class; those of the story have 12 in the
middle and 30 at nine tenths; lines have at most 100 characters; no comprehension stands inside another; `o` lives on
one line; a public name stands in one module alone; the story imports no wing; a page says what it is about before it
imports; the tree in the README is the folder's; workflows name actions by their commit. Only the standard library is
needed.
"""
import ast, json, re, sys
from collections import Counter
from pathlib import Path

root = Path(__file__).resolve().parent.parent
longest,wide,middle,tenth = 45,100,12,30 # lines of a cell; characters of a line; lines of the story's cells at 50 and 90 %
exported = re.compile(r'^#\|\s*exports?\b', re.M)
loops = ast.ListComp,ast.SetComp,ast.DictComp,ast.GeneratorExp

def cells(page:Path) -> list: # of (kind, source)
    found = json.loads(page.read_text(encoding='utf-8'))['cells']
    return [(c['cell_type'], ''.join(c['source'])) for c in found]

def story() -> list: return sorted((root/'nbs').glob('[0-9][0-9]_*.ipynb'))
def pages() -> list:
    return [p for p in sorted((root/'nbs').rglob('*.ipynb')) if not re.search(r'/[._]', str(p.relative_to(root)))]

def code_lines(source:str) -> list: return [l for l in source.splitlines() if l.strip() and not l.startswith('#|')]

def exported_cells(page:Path) -> list: # sources that hold more than imports
    return [s for kind,s in cells(page) if kind == 'code' and exported.search(s) and not only_imports(s)]

def only_imports(source:str) -> bool:
    return all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.parse(source).body)

def share(counts:list, part:float) -> int: return sorted(counts)[int(len(counts)*part)] if counts else 0

def long_lived(tree:ast.AST) -> list: # lines on which `o` begins to live longer than one line
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, (ast.FunctionDef, ast.Lambda)): names = [a.arg for a in node.args.args]
        elif isinstance(node, ast.For): names = [n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)]
        elif isinstance(node, ast.Assign): found += [node.lineno for t in node.targets if getattr(t, 'id', '') == 'o']
        elif isinstance(node, loops): names = bound(node)
        if 'o' in names and node.end_lineno > node.lineno: found.append(node.lineno)
    return found

def bound(node:ast.AST) -> list: # names of a comprehension
    return [n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)]

def nested(tree:ast.AST) -> list: # lines of comprehensions that hold another
    outer = [node for node in ast.walk(tree) if isinstance(node, loops)]
    return [node.lineno for node in outer if any(isinstance(n, loops) and n is not node for n in ast.walk(node))]

def check_cell(page:str, source:str) -> list:
    tree,lines = ast.parse(source),code_lines(source)
    first = lines[0].strip()[:50]
    say = lambda text: f'{page}: {text}: {first}'
    problems = [say(f'a cell of {len(lines)} lines')] if len(lines) > longest else []
    public = [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != '_']
    if len(set(public)) > 1: problems.append(say(f'{len(public)} public names in a cell'))
    problems += [say(f'a line of {len(l)} characters') for l in lines if len(l) > wide]
    problems += [say('a comprehension inside another') for _ in nested(tree)]
    return problems + [say('`o` lives longer than a line') for _ in long_lived(tree)]

def check_opening(page:str, found:list) -> list:
    "A paragraph or picture stands between the title and the first exported import."
    before = []
    for kind,source in found:
        if kind == 'code' and exported.search(source): break
        if kind == 'markdown': before.append(re.sub(r'^(#|>).*$', '', source, flags=re.M))
    return [] if ''.join(before).strip() else [f'{page}: code comes before the first paragraph']

def modules() -> dict: # dotted name -> tree
    files = [f for f in sorted((root/'dia_nvtts').rglob('*.py')) if f.name != '_modidx.py']
    return {f.relative_to(root).with_suffix('').as_posix().replace('/', '.'): ast.parse(f.read_text(encoding='utf-8')) for f in files}

def public_names(tree:ast.AST) -> list:
    named = [n.value for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], 'id', '') == '__all__']
    return [name for o in named for name in ast.literal_eval(o)]

def check_names(trees:dict) -> list:
    where = {}
    for module,tree in trees.items():
        for name in public_names(tree): where.setdefault(name, []).append(module)
    return [f'{name} is public in {" and ".join(m)}' for name,m in where.items() if len(m) > 1]

def check_wings(trees:dict) -> list:
    "What stands at the top of the package imports `tools` and `standin` inside functions alone."
    problems = []
    for module,tree in trees.items():
        if module.count('.') > 1: continue
        taken = [n.module or '' for n in tree.body if isinstance(n, ast.ImportFrom)]
        problems += [f'{module} imports {o} when it is imported' for o in taken if re.match(r'(dia_nvtts\.)?(tools|standin)\b', o)]
    return problems

def check_tree() -> list:
    "The README links every page once, and no other."
    readme = (root/'README.md').read_text(encoding='utf-8')
    section = readme.partition('\n## The notebooks\n')[2].partition('\n## ')[0]
    linked = re.findall(r'\]\(nbs/([^)#\s]+\.ipynb)\)', section)
    there = [p.relative_to(root/'nbs').as_posix() for p in pages() if p.stem != 'index']
    return ([f"README's tree links {o} {linked.count(o)} times" for o in there if linked.count(o) != 1]
            + [f"README's tree links {o}, which is not there" for o in sorted(set(linked)-set(there))])

def check_actions() -> list:
    "A tag can be moved to other code, a commit cannot."
    used = [(f.name, o) for f in sorted((root/'.github'/'workflows').glob('*.yml'))
            for o in re.findall(r'\buses:\s*(\S+)', f.read_text(encoding='utf-8'))]
    return [f'{name} uses {o}: expected owner/name@ and the 40 digits of a commit' for name,o in used
            if not re.search(r'@[0-9a-f]{40}$', o)]

def code_of(tree:ast.AST, text:str) -> int: # lines without blanks, comments, docstrings and imports
    dropped = set()
    for node in ast.walk(tree):
        body = getattr(node, 'body', None)
        doc = body and isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and ast.get_docstring(node, False) is not None
        listed = isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__'
        if isinstance(node, (ast.Import, ast.ImportFrom)) or listed: dropped.update(range(node.lineno, node.end_lineno+1))
        if doc: dropped.update(range(body[0].lineno, body[0].end_lineno+1))
    return sum(bool(l.strip()) and l.strip()[0] != '#' and i not in dropped for i,l in enumerate(text.splitlines(), 1))

def counts(trees:dict) -> str:
    own = [(p.name, s) for p in story() for s in exported_cells(p)]
    lines = [len(code_lines(s)) for _,s in own]
    shown = sum(bool(re.search(r'^#\|\s*exports\b', s, re.M)) for _,s in own)
    text = lambda module: (root/(module.replace('.', '/')+'.py')).read_text(encoding='utf-8')
    total = sum(code_of(t, text(m)) for m,t in trees.items())
    names = Counter(name for t in trees.values() for name in public_names(t))
    return (f'{len(story())} pages of the story, {len(own)} exported cells, {shown} shown; lines of a cell '
            f'{share(lines, .5)} / {share(lines, .9)} / {max(lines)} (50 %, 90 %, most); '
            f'{total:,} lines of code and {len(names)} public names in {len(trees)} modules')

def examine() -> list:
    "Every place that leaves the rules, a line each."
    trees,problems = modules(),[]
    for page in pages():
        name,found = page.relative_to(root/'nbs').as_posix(),cells(page)
        for source in exported_cells(page): problems += check_cell(name, source)
        if any(kind == 'code' and exported.search(s) for kind,s in found): problems += check_opening(name, found)
    lines = [len(code_lines(s)) for p in story() for s in exported_cells(p)]
    if share(lines, .5) > middle: problems.append(f"the story's cells have {share(lines, .5)} lines in the middle: at most {middle} wanted")
    if share(lines, .9) > tenth: problems.append(f"a tenth of the story's cells has over {share(lines, .9)} lines: at most {tenth} wanted")
    return problems + check_names(trees) + check_wings(trees) + check_tree() + check_actions()

if __name__ == '__main__':
    print(counts(modules()))
    if '--counts' in sys.argv: sys.exit()
    found = examine()
    for o in found: print(o)
    print(f'{len(found)} exceptions')
    sys.exit(bool(found))
