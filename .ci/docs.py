#!/usr/bin/env python
"""Check the documentation without Quarto: process the notebooks as nbdev does, turn them into HTML, and look.

Every exported function and class has a docstring and an anchor; every link inside the site, and every link to a
source file of this repository, lands; every page opens with a title and one sentence; every picture in the text says
what it shows; no output is an error, is larger than 100 KB a page, or names a folder or an address of one machine;
cells that import hold nothing else, since nbdev runs those again for the site.
"""
import ast, importlib.util, json, os, posixpath, re, sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

root = Path(__file__).resolve().parent.parent
limit = 100_000 # bytes of committed outputs a page
machine = re.compile(r'(?<![\w/])/(?:tmp|home|root|Users|var/folders)/\w|site-packages|\bat 0x[0-9a-f]{6,}')
known_exceptions = 0 # of the house
problems = []

def expect(ok, page, text:str):
    if not ok: problems.append(f'{page}: {text}')

def text_of(x) -> str: return ''.join(x) if isinstance(x, list) else x or ''
def cells(path:Path) -> list: return json.loads(path.read_text(encoding='utf-8'))['cells']

def process(cfg) -> Path:
    "The folder of processed notebooks, as `nbdev_docs` hands it to Quarto."
    from nbdev.quarto import refresh_quarto_yml
    from nbdev.serve import proc_nbs
    refresh_quarto_yml()
    return proc_nbs(force=True, n_workers=min(os.cpu_count() or 1, 4))

def page_name(path:Path, proc:Path) -> str:
    "Where Quarto puts the processed notebook `path`: its front matter may rename it."
    first = cells(path)[0]
    named = re.search(r'^output-file:\s*(\S+)', text_of(first['source']), re.M) if first['cell_type'] == 'raw' else None
    return (path.parent/(named[1] if named else path.stem+'.html')).relative_to(proc).as_posix()

def check_outputs(name:str, path:Path):
    "What is committed in the notebook: no errors, small, the same on every machine."
    size = 0
    for i,cell in enumerate(cells(path)):
        for out in cell.get('outputs', []):
            size += len(json.dumps(out))
            expect(out['output_type'] != 'error', name, f"cell {i} shows an error: {out.get('ename')}")
            shown = [out.get('text'), *(v for k,v in out.get('data', {}).items() if k.startswith('text/'))]
            for text in map(text_of, shown):
                expect('Traceback (most recent call last)' not in text, name, f'cell {i} shows a traceback')
                found = machine.search(text)
                expect(not found, name, f'cell {i} shows a path or an address of one machine: {found and found[0]}')
    expect(size <= limit, name, f'{size/1e3:.0f} KB of outputs, at most {limit/1e3:.0f} wanted')

def check_imports(name:str, path:Path):
    "A cell with an import anywhere in it is run again for the site, so nothing else may stand there."
    for i,cell in enumerate(cells(path)):
        source = text_of(cell['source'])
        if cell['cell_type'] != 'code' or re.match(r'#\|\s*(export|exporti|exports|exec_doc)\b', source): continue
        try: nodes = list(ast.walk(ast.parse(source)))
        except SyntaxError: continue # shell and magic lines
        mixed = all(any(isinstance(o, kinds) for o in nodes)
                    for kinds in ((ast.Import, ast.ImportFrom), (ast.Expr, ast.Assign)))
        expect(not mixed or re.search(r'^#\|\s*eval:\s*false', source, re.M), name,
               f'cell {i} mixes imports with other code: {source.strip().splitlines()[0]}')

def check_opening(name:str, path:Path):
    "`#| default_exp`, then `# Title` and `> one sentence`; the first cell may be missing where nothing is exported."
    first = [o for o in cells(path) if text_of(o['source']).strip()][:2]
    if first and text_of(first[0]['source']).startswith('#| default_exp'): first = first[1:]
    expect(first and first[0]['cell_type'] == 'markdown' and re.match(r'# \S.*\n\s*\n?> \S', text_of(first[0]['source'])),
           name, 'does not open with "# Title" and "> one sentence"')
    if first: # nbdev drops what else stands in the cell of the title
        rest = re.sub(r'\A# .*\n\s*\n?(> .*(\n|$))*', '', text_of(first[0]['source'])).strip()
        expect(not rest, name, f'the cell of the title holds more, which the site drops: {rest[:40]}')

def check_pictures(name:str, path:Path):
    "Who cannot see a picture can read what it shows."
    for i,cell in enumerate(cells(path)):
        if cell['cell_type'] == 'code':
            drawn = any(k.startswith('image/') for out in cell.get('outputs', []) for k in out.get('data', {}))
            expect(not drawn or re.search(r'^#\|\s*fig-alt:\s*"[^"\n]{20,}"$', text_of(cell['source']), re.M), name,
                   f'cell {i} shows a picture and has no line #| fig-alt: "..." that says what it shows')
        if cell['cell_type'] != 'markdown': continue
        source = re.sub(r'```.*?```|`[^`\n]*`', '', text_of(cell['source']), flags=re.S)
        for alt,target in re.findall(r'!\[([^\]]*)\]\(([^)\s]*)', source):
            expect(alt.strip(), name, f'picture {target} has no text that says what it shows')

def patched_class(node:ast.AST) -> str:
    "The class that a method with `@patch` grows, else nothing."
    marks = [ast.unparse(o) for o in node.decorator_list] if isinstance(node, ast.FunctionDef) else []
    if not any(re.match(r'patch\b', o) for o in marks): return ''
    return ast.unparse(node.args.args[0].annotation)

def check_symbols(index:dict, pages:dict, base:str):
    "Every public function and class: an anchor on its page, and a docstring in its module."
    for module,symbols in index['syms'].items():
        file = root/(module.replace('.', '/')+'.py')
        expect(file.exists(), module, 'is in _modidx.py, but there is no such file: run nbdev_export')
        if not file.exists(): continue
        for node in ast.parse(file.read_text(encoding='utf-8')).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_'): continue
            patched = patched_class(node)
            if patched.startswith('_'): continue
            name = '.'.join(filter(None, (module, patched, node.name)))
            expect(name in symbols, name, 'is not in _modidx.py: run nbdev_export')
            expect(ast.get_docstring(node), name, 'has no docstring')
            if name not in symbols: continue
            page,anchor = urldefrag(symbols[name][0])
            page = page.removeprefix(base).lstrip('/')
            expect(page in pages, name, f'its page {page} is not there')
            expect(anchor.lower() in pages.get(page, ()), name, f'{page} has no anchor #{anchor}')

def check_links(page:str, hrefs:list, pages:dict, files:dict, cfg):
    "Links inside the site and to this repository; others are not asked."
    site,source = f'{cfg.doc_host}{cfg.doc_baseurl}'.rstrip('/'),f'{cfg.git_url}/blob/{cfg.branch}/'
    for href in hrefs:
        if href.startswith(source):
            expect((root/unquote(urldefrag(href)[0].removeprefix(source))).exists(), page, f'{href} is no file of this repository')
            continue
        if href.startswith(site): href = href.removeprefix(site) or '/'
        elif re.match(r'[a-z][a-z0-9+.-]*:|//', href, re.I): continue
        target,anchor = urldefrag(unquote(href))
        if target.startswith('/'): target = target.removeprefix(cfg.doc_baseurl.rstrip('/')).lstrip('/') or 'index.html'
        else: target = posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) if target else page
        target = files.get(target, target)
        expect(target in pages or target in files, page, f'link {href} goes nowhere')
        if anchor and target in pages:
            expect(anchor.lower() in pages[target], page, f'link {href}: {target} has no such anchor')

def in_sidebar(contents:list) -> list:
    "Pages of a sidebar, in its order."
    return [page for part in contents
            for page in ([part] if isinstance(part, str) else in_sidebar(part['contents']))]

def check_config(proc:Path, names:list):
    import yaml
    top,copy = [(root/o).read_text(encoding='utf-8') for o in ('_quarto.yml', 'nbs/_quarto.yml')]
    expect(copy == top, 'nbs/_quarto.yml', 'is not the top-level _quarto.yml')
    listed = in_sidebar(yaml.safe_load(top)['website']['sidebar']['contents'])
    for o in names: expect(listed.count(o) == 1, o, f'stands {listed.count(o)} times in the sidebar of _quarto.yml')
    for o in listed: expect(o in names, '_quarto.yml', f'the sidebar names {o}, which is not there')
    told = [o for o in listed if re.match(r'\d\d_', o)]
    expect(told == sorted(told), '_quarto.yml', 'the story is out of order')
    for css in re.findall(r'[\w-]+\.s?css', top): expect((proc/css).exists(), '_quarto.yml', f'there is no nbs/{css}')

def verdict(what:str):
    found = dict.fromkeys(problems) # each once, in order
    for o in found: print(o)
    print(f'documentation: {len(found)} problems in {what}')
    sys.exit(bool(found))

def main():
    from bs4 import BeautifulSoup
    from nbconvert import HTMLExporter
    from nbdev.config import get_config
    from nbdev.doclinks import nbglob
    cfg = get_config()
    notebooks = {o.relative_to(cfg.nbs_path).as_posix(): o for o in map(Path, nbglob(as_path=True))}
    for name,path in notebooks.items():
        for check in check_outputs,check_imports,check_opening,check_pictures: check(name, path)

    try: proc = process(cfg)
    except Exception as e: # a cell that nbdev runs for the site fails
        expect(False, 'site', f'nbdev cannot process the notebooks: {e}')
        verdict('the notebooks as they are')

    exporter = HTMLExporter()
    pages,links,files = {},{},{} # page -> its anchors; page -> what it links to; any other file or notebook -> page or itself
    for name in notebooks:
        path = proc/name
        expect(path.exists(), name, 'was not processed')
        if not path.exists(): continue
        for check in check_outputs,check_pictures: check(name, path)
        page = files[name] = page_name(path, proc)
        body = BeautifulSoup(exporter.from_filename(str(path))[0], 'html.parser').find('main')
        pages[page] = {o['id'].lower() for o in body.find_all(id=True)}
        links[page] = [o['href'] for o in body.find_all('a', href=True) if 'anchor-link' not in o.get('class', [])]
        links[page] += [o['src'] for o in body.find_all(src=True)]
    for o in proc.rglob('*'):
        name = o.relative_to(proc).as_posix()
        if o.is_file() and name not in files: files[name] = name

    spec = importlib.util.spec_from_file_location('modidx', cfg.lib_path/'_modidx.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check_symbols(module.d, pages, cfg.doc_baseurl)
    for page,hrefs in links.items(): check_links(page, hrefs, pages, files, cfg)
    check_config(proc, list(notebooks))

    total = lambda groups: sum(map(len, groups.values()))
    import house
    exceptions = house.examine()
    print(house.counts(house.modules()), *exceptions, f'house: {len(exceptions)} exceptions, {known_exceptions} known', sep='\n')
    expect(len(exceptions) <= known_exceptions, 'house', 'has more exceptions than are known: see above')
    verdict(f"{len(pages)} pages, {total(module.d['syms'])} names, {total(links)} links and pictures")

if __name__ == '__main__': main()
