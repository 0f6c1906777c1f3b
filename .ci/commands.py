#!/usr/bin/env python
"""Run every command that is printed anywhere, as it is printed, through the installed console scripts.

Where from: code in backticks and fences of README.md, CONTRIBUTING.md and the text of all notebooks; strings of the exported
code (help, errors, model cards, the last lines of the quickstart); what `--help` prints; the workflows.
Each runs in an empty folder without network, so it may end in one line on stderr with exit code 2 that says what cannot be
found. It fails where the line cannot be read as arguments, or ends in a traceback. Heavy commands find their output folder
full, which they say; a benchmark may begin, and is stopped.

  python .ci/commands.py             all of it
  python .ci/commands.py --list      only print what would run, and where it stands
  python .ci/commands.py LINE        run one line, and print what it says
"""
import ast, json, os, re, resource, runpy, shlex, shutil, signal, subprocess, sys, tempfile
from pathlib import Path

root = Path(__file__).resolve().parent.parent
nowhere = 'http://127.0.0.1:9'           # a proxy that is not there
os.environ |= dict(HF_HUB_OFFLINE='1', HTTP_PROXY=nowhere, HTTPS_PROXY=nowhere, http_proxy=nowhere, https_proxy=nowhere,
                   OMP_NUM_THREADS='1', COLUMNS='100')
from dia_nvtts.tools.cli import _VERBS
from dia_nvtts.tools.shell import make_parser

commands = {f.__name__.removeprefix('dia_'): f for fs in _VERBS.values() for f in fs}
name = rf'\bdia[ _](?:{"|".join(commands)})\b'
heavy = ('benchmark',)                # that have no folder to find full
unread = re.compile(r'--help (lists what it takes|tells what each does)|unrecognized arguments|^usage:', re.M)

def options(f): # name -> does it take a value?
    return {o: a.nargs != 0 for a in make_parser(f, 'dia', f.groups)._actions for o in a.option_strings}

def whole(line): # a line of shell -> the commands of ours in it
    try: words = shlex.split(line.strip().removeprefix('$ ').rstrip('\\'), comments=True)
    except ValueError: return
    parts = [[]]
    for word in words:
        if word in ('&&','||','|',';'): parts.append([])
        elif parts[-1] or not re.match(r'[A-Z_]+=', word): parts[-1].append(word)
    yield from (o for o in parts if o and re.match(rf'dia$|{name}', ' '.join(o)))

def within(text): # a sentence -> the commands in it, each with the options behind it
    for found in re.finditer(name, text):
        words,rest = re.split('[ _]', found[0], maxsplit=1),text[found.end():]
        takes = options(commands[words[1]])
        while said := re.match(r'''\s+("[^"\n]*"|[^\s"'`(),;]+)''', rest):
            word = said[1].rstrip('.:')
            follows = words[-1].startswith('--') and takes.get(words[-1])
            if not (follows or word.startswith(('--','"'))): break
            words.append(word.strip('"'))
            rest = rest[said.end():]
            if said[1] != word: break
        if takes.get(words[-1]): words.pop()      # named, without a value
        yield words

def named(words): # only the name of a command, in a sentence
    return words == ['dia'] or len(words) == 1+(words[0] == 'dia') and words[-1].removeprefix('dia_') in commands

def of_text(text): # Markdown: fences line by line, and code in backticks
    fences = re.findall(r'^```[^\n]*\n(.*?)^```', text, flags=re.M|re.S)
    inline = re.findall(r'`([^`\n]+)`', re.sub(r'^```.*?^```', '', text, flags=re.M|re.S))
    for line in re.sub(r'\\\n', ' ', '\n'.join(fences)).splitlines(): yield from whole(line)
    for line in inline: yield from (o for o in whole(line) if not named(o))

def of_string(text): # a string of the code: lines that are commands, else sentences that name some
    for line in text.splitlines():
        if re.match(rf'\s*(\$ )?{name}', line) and '\n' in text: yield from whole(line)
        else: yield from (o for o in within(line) if not named(o))

def strings(source): # f-strings with `x` for what is not known
    inside = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(o) for o in ast.walk(node)}
            yield ''.join(o.value if isinstance(o, ast.Constant) else 'x' for o in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside: yield node.value

def printed(): # (where, words) of all
    for file in [root/'README.md', root/'CONTRIBUTING.md']: yield from ((file.name, o) for o in of_text(file.read_text(encoding='utf-8')))
    for file in sorted((root/'nbs').rglob('*.ipynb')):
        if '.ipynb_checkpoints' in file.parts: continue
        for cell in json.loads(file.read_text(encoding='utf-8'))['cells']:
            if cell['cell_type'] == 'markdown': yield from ((file.relative_to(root), o) for o in of_text(''.join(cell['source'])))
    for file in sorted((root/'dia_nvtts').rglob('*.py')):
        for text in strings(file.read_text(encoding='utf-8')): yield from ((file.relative_to(root), o) for o in of_string(text))
    for file in sorted((root/'.github').rglob('*.yml')):
        yield from ((file.relative_to(root), o) for o in of_string(file.read_text(encoding='utf-8')))
    for verb,f in commands.items():
        text = make_parser(f, f'dia {verb}', f.groups).format_help()
        yield from ((f'dia {verb} --help', o) for o in within(re.sub(r'^usage: .*', '', re.sub(r'\s+', ' ', text))))

def verb(words): return words[1] if len(words) > 1 else None

def script(name): return shutil.which(name) or sys.exit(f'{name} is not installed: pip install -e .')

def begin(words, folder): # what a child does: become the console script
    os.chdir(folder)
    limit = 8 if verb(words) in heavy else 120
    resource.setrlimit(resource.RLIMIT_CPU, (limit+int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])), limit+60))
    for fd,file in (0,os.devnull),(1,'stdout'),(2,'stderr'): os.dup2(os.open(file, os.O_RDWR|os.O_CREAT), fd)
    sys.argv[:] = [script(words[0]), *words[1:]]
    code = 0
    try: runpy.run_path(sys.argv[0], run_name='__main__')
    except SystemExit as e: code = e.code or 0
    except BaseException:
        import traceback
        traceback.print_exc()
        code = 1
    for o in (sys.stdout,sys.stderr): o.flush()
    os._exit(code)

def run(words): # -> exit code, stdout, stderr of the script, in a child that finds the libraries imported
    folder = Path(tempfile.mkdtemp(dir=work))
    for full in 'quickstart','assets': (folder/full).mkdir(); (folder/full/'x').touch()
    child = os.fork()
    if not child: begin(words, folder)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code,*((folder/o).read_text(encoding='utf-8', errors='replace') for o in ('stdout','stderr'))

def wrong(words): # what is wrong with it, or None
    code,_,err = run(words)
    if unread.search(err): return f'cannot be read: {err.strip()}'
    if code == 0 or (code == -signal.SIGXCPU and verb(words) in heavy): return
    if code != 2 or len(err.strip().splitlines()) != 1: return f'exit code {code}: {err.strip()[-600:]}'

def executable(file): # as a shell starts it
    told = subprocess.run([file,'--help'], capture_output=True, text=True)
    odd = subprocess.run([file,'--no_such_option'], capture_output=True, text=True)
    if told.returncode or not told.stdout.startswith('usage: ') or told.stderr: return f'--help: {told.returncode} {told.stderr}'
    if odd.returncode != 2 or len(odd.stderr.splitlines()) != 1: return f'--no_such_option: {odd.returncode} {odd.stderr}'

def main():
    global work
    where = {}
    for file,words in printed():                                     # `dia_train` is `dia train`
        where.setdefault(tuple(words if words[0] == 'dia' else ['dia',words[0].removeprefix('dia_'),*words[1:]]), set()).add(str(file))
    if sys.argv[1:] == ['--list']: return print('\n'.join(f'{shlex.join(k)}    # {", ".join(sorted(v))}' for k,v in where.items()))
    with tempfile.TemporaryDirectory() as work:
        import datasets, peft, soundfile, torch, transformers          # once, for all children
        if sys.argv[1:]: return print(*run(shlex.split(sys.argv[1])), sep='\n')
        scripts = ['dia', *(f'dia_{o}' for o in commands)]
        bad = {o: said for o in scripts if (said := executable(script(o)))}
        bad |= {f'{shlex.join(k)}    # {", ".join(sorted(v))}': said for k,v in where.items() if (said := wrong(k))}
    for line,said in bad.items(): print(f'{line}\n    {said}')
    if bad: sys.exit(f'{len(bad)} of {len(where)+len(scripts)} commands do not work as printed')
    print(f'{len(where)} printed commands work as printed, {len(scripts)} scripts answer --help')

if __name__ == '__main__': main()
