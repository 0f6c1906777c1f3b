"""The widgets in a real browser, with the keyboard alone.

    python nbs/tests/browser.py [--shots FOLDER] [PAGE ...]

Starts JupyterLab and a headless Chromium on this machine, opens the page of the widgets, runs all its cells, goes from
control to control with the tab key, moves each of them there and back, and looks whether picture or sentence follow.
Then it looks whether the saved page, where no Python answers, shows a picture for each panel. A line for each thing that
was tried; exit code 1 when a control is dead, a cell shows an error or the console does.

Any other page, such as nbs/tutorials/02_prepare_a_corpus.ipynb, is run as well when it is named: its panels have to show
a picture, and its controls are left alone.
"""
import base64, json, os, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from fastcore.script import Param, call_parse

PROGRAMS = 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'
# page in nbs/ -> panel -> control, in the order of the tab key -> what is typed into it; None: it is pressed or moved
PAGES = {'tools/widgets.ipynb': {
    'DelayExplorer': dict(frames=None, codebooks=None, delays='0, 1, 2, 7', row=None, codebook=None),
    'CorpusBrowser': {'tag':None, 'split':None, 'speaker':'s2', 'words or id':'tea', 'seconds':None, 'clip':None},
    'ListeningTable': dict(script=None, blind=None),
    'RunDashboard': dict(follow=None, refresh=None),
}}
STEP = "with open(run/'metrics.jsonl', 'a') as f: f.write(line({}))" # RunDashboard: a run takes a step
CODES = {'Tab':9, 'Enter':13, ' ':32, 'End':35, 'Home':36, 'ArrowLeft':37, 'ArrowRight':39, 'Delete':46}
SHIFT,CTRL = 8,2
failures = []

def fetch(url:str, data=None, token:str=''):
    "JSON from a server on this machine."
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {'Authorization':f'token {token}'} if token else {})
    with urllib.request.urlopen(request, timeout=30) as r: return json.load(r)

def wait(ask, seconds:float, otherwise:str):
    "What `ask` returns, as soon as it returns something; may ask too early."
    end,why = time.monotonic()+seconds,''
    while time.monotonic() < end:
        try:
            if got := ask(): return got
        except (OSError, StopIteration, RuntimeError) as e: why = f' ({e})'
        time.sleep(.1)
    raise TimeoutError(f'{otherwise} within {seconds:.0f} s{why}')

@contextmanager
def running(command:list, env:dict, log:Path):
    "A program with all that it starts, ended at the end."
    with open(log, 'wb') as out:
        p = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try: yield p
    finally:
        for sign,seconds in (signal.SIGTERM,20),(signal.SIGKILL,5):
            try: os.killpg(p.pid, sign)
            except ProcessLookupError: break
            try: p.wait(seconds)
            except subprocess.TimeoutExpired: pass

def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

class Gone(Exception):
    "Chromium does not answer any more."

class Browser:
    "The one page of a Chromium, through its debugging protocol."
    def __init__(self, port:int):
        import websocket # comes with jupyter_server
        pages = lambda: (o for o in fetch(f'http://127.0.0.1:{port}/json') if o['type']=='page')
        page = wait(lambda: next(pages()), 90, 'Chromium did not start')
        self.socket = websocket.create_connection(page['webSocketDebuggerUrl'], timeout=180)
        self.errors,self.n = [],0                                         # what the console said
        for o in 'Page','Runtime','Log': self(f'{o}.enable')
        self('Emulation.setFocusEmulationEnabled', enabled=True)

    def __call__(self, method:str, **params) -> dict:
        self.n += 1
        mine = self.n
        self.send(mine, method, params)
        while True:
            try: got = json.loads(self.socket.recv())
            except Exception as e: raise Gone(f'Chromium is gone: {type(e).__name__} {e}') from None # of several kinds
            if got.get('id')==mine:
                if 'error' in got: raise RuntimeError(f'{method}: {got["error"]["message"]}')
                return got['result']
            if 'method' in got: self.hear(got['method'], got['params'])

    def send(self, n:int, method:str, params:dict):
        try: self.socket.send(json.dumps(dict(id=n, method=method, params=params)))
        except Exception as e: raise Gone(f'Chromium is gone: {type(e).__name__} {e}') from None

    def hear(self, event:str, o:dict):
        "Keep errors; agree to leave a page that was changed."
        if event=='Page.javascriptDialogOpening':
            self.n += 1
            self.send(self.n, 'Page.handleJavaScriptDialog', dict(accept=True))
        if event=='Runtime.consoleAPICalled' and o['type'] in ('error','assert'):
            self.errors.append(' '.join(str(a.get('value', a.get('description'))) for a in o['args']))
        if event=='Runtime.exceptionThrown':
            o = o['exceptionDetails']
            self.errors.append(o.get('exception', {}).get('description', o['text']))
        if event=='Log.entryAdded' and o['entry']['level']=='error':
            self.errors.append(f"{o['entry']['text']} {o['entry'].get('url', '')}")

    def js(self, code:str):
        "Value of a JavaScript expression; waits for promises."
        got = self('Runtime.evaluate', expression=code, awaitPromise=True, returnByValue=True)
        if (o := got.get('exceptionDetails')):
            raise RuntimeError(o.get('exception', {}).get('description', o['text']).splitlines()[0])
        return got['result'].get('value')

    def press(self, *keys):
        "Keys one after the other, as a keyboard sends them; `(key, SHIFT)` holds another one down."
        for o in keys:
            key,held = o if isinstance(o, tuple) else (o,0)
            code = CODES.get(key) or ord(key.upper())
            what = dict(key=key, code=key if key != ' ' else 'Space', modifiers=held, windowsVirtualKeyCode=code,
                        nativeVirtualKeyCode=code)
            text = '\r' if key=='Enter' else key if len(key)==1 and not held else ''
            if held==CTRL and key=='a': what['commands'] = ['selectAll']
            self('Input.dispatchKeyEvent', type='keyDown' if text else 'rawKeyDown', **what, **(dict(text=text) if text else {}))
            self('Input.dispatchKeyEvent', type='keyUp', **what)

    def shoot(self, file:Path): file.write_bytes(base64.b64decode(self('Page.captureScreenshot')['data']))

def spell(keys:list) -> str: # for a message
    return ' '.join({' ':'Space', ('a',CTRL):'Ctrl-A', ('Tab',SHIFT):'Shift-Tab'}.get(o, o) for o in keys)

NOTEBOOK = "[...jupyterapp.shell.widgets('main')].find(o => o.content?.widgets)"
KERNEL = f'{NOTEBOOK}.sessionContext.session.kernel'
CODE_CELLS = f"{NOTEBOOK}.content.widgets.filter(o => o.model.type=='code' && o.model.sharedModel.source.trim())"

def open_page(browser:Browser, lab:str, token:str, page:str):
    "Show the notebook, its kernel connected: a command that came earlier would bring up a dialog."
    fetch(f'{lab}/api/sessions', dict(path=page, name=Path(page).name, type='notebook', kernel=dict(name='python3')), token)
    browser('Page.navigate', url=f'{lab}/lab/tree/{page}?reset&token={token}')
    ready = f"""(p => p.sessionContext.isReady && p.sessionContext.session.kernel.connectionStatus=='connected'
        && p.sessionContext.session.kernel.status=='idle' && !document.querySelector('.jp-Dialog'))({NOTEBOOK})"""
    wait(lambda: browser.js(ready), 180, 'JupyterLab did not show the page with a kernel')

def run_all(browser:Browser) -> str:
    "Run the page; how many cells have run."
    browser.js("void jupyterapp.commands.execute('notebook:run-all-cells')")
    bad = f"""{CODE_CELLS}.flatMap(c => c.model.outputs.toJSON()).filter(o => o.output_type=='error')
        .map(o => `${{o.ename}}: ${{o.evalue}}`)"""
    done = f'(all => all.every(c => c.model.executionCount > 0) && all.length)({CODE_CELLS})'
    def over():
        if wrong := browser.js(bad): raise ValueError(f'a cell shows an error: {wrong[0][:300]}')
        return browser.js(done)
    n = wait(over, 900, 'the page did not run to its end')
    over()
    return f'{n} cells'

def execute(code:str) -> str: # JavaScript that runs Python in the kernel of the page
    return f'{KERNEL}.requestExecute({{code: {json.dumps(code)}, silent: true}})'

def do(browser:Browser, code:str):
    "Run Python to its end."
    reply = browser.js(execute(code)+'.done.then(o => o.content)')
    if reply['status'] != 'ok': raise ValueError(f'{code}: {reply.get("evalue")}')

class PanelOnPage:
    "A panel that the page shows."
    def __init__(self, browser:Browser, page:str, name:str, shots:Path|None):
        self.browser,self.page,self.name,self.shots = browser,page,name,shots
        self.pictures,self.shot = 0,0                                     # changes of the picture; pictures of the screen
        self.here = f"document.querySelector('.jp-OutputArea .{name}')"

    @staticmethod
    def on_page(browser:Browser) -> list:
        "Names of the panels that the open page shows; cells far away have no outputs until one goes there."
        names = [name for panels in PAGES.values() for name in panels]
        look = f"""{json.dumps(names)}.filter(o =>
            {NOTEBOOK}.content.widgets.some(c => c.node.querySelector('.jp-OutputArea .'+o)))"""
        found = []
        for i in range(browser.js(f"{NOTEBOOK}.content.widgets.length")):
            browser.js(f"{NOTEBOOK}.content.scrollToItem({i})")
            time.sleep(.2)
            found += [o for o in browser.js(look) if o not in found]
        return found

    def has_picture(self):
        wait(lambda: self.browser.js(f"{self.here}.querySelector('img')?.naturalWidth > 100"), 20, 'there is none')

    def shoot(self, what:str):
        if not self.shots: return
        self.browser.shoot(self.shots/f'{Path(self.page).stem}-{self.name}-{self.shot:02d}-{what}.png')
        self.shot += 1

    def enter(self):
        "Select the cell of the panel, as the arrow keys do; controls are a few tabs away."
        find = f"{NOTEBOOK}.content.widgets.findIndex(c => c.node.querySelector('.jp-OutputArea .{self.name}'))"
        scroll = lambda to: self.browser.js(f"document.querySelector('.jp-WindowedPanel-outer').{to}")
        def found():
            i = self.browser.js(find)
            if i >= 0: return str(i)
            scroll('scrollBy(0, 400)')                                    # cells far away are not there yet
        scroll('scrollTo(0, 0)')
        i = wait(found, 60, f'no {self.name} is shown')
        select = f"n.activeCellIndex = {i}; n.scrollToItem({i}); n.mode = 'command'; n.activate()"
        self.browser.js(f'(n => {{ {select} }})({NOTEBOOK}.content)')
        wait(lambda: self.browser.js(f"document.activeElement.contains({self.here})"), 30, 'the cell cannot be selected')
        self.shoot('shown')

    def control(self, label:str) -> str:
        "JavaScript that finds a control by its label."
        said = "(e => e?.textContent.replace('\\u200b', '').trim())"     # a box to tick has an empty label beside its own
        named = f"{said}(o.querySelector('.widget-label')) || {said}(o)"
        return f"[...{self.here}.querySelector('.widget-hbox').children].find(o => ({named})=={json.dumps(label)})"

    def tab_to(self, label:str):
        for _ in range(40):
            if self.browser.js(f"{self.control(label)}?.contains(document.activeElement)"): return
            self.browser.press('Tab')
        raise ValueError('the tab key does not get there')

    def state(self) -> list:
        "Digest of the picture, and all that is written."
        return self.browser.js(f"""(async o => {{
            const bytes = async i => await (await fetch(i.src)).arrayBuffer();
            const hash = async i => [...new Uint8Array(await crypto.subtle.digest('SHA-1', await bytes(i)))].join();
            const words = o.querySelectorAll('.widget-html, .widget-label:not(.widget-hbox > * > *)');
            const pictures = await Promise.all([...o.querySelectorAll('img')].map(hash));
            return [pictures.join(), [...words].map(i => i.textContent).join()] }})({self.here})""")

    def settled(self) -> list:
        "The state, when Python has nothing more to do and it stays for half a second: a control may bring several changes."
        last = None
        def still():
            nonlocal last
            before,last = last,self.state()
            if last == before and self.browser.js(f'{KERNEL}.status')=='idle': return last
            time.sleep(.5)
        return wait(still, 90, 'it keeps changing')

    def changes(self, act, what:str) -> list:
        "Something happens; the state has to become another one."
        before = self.settled()
        act()
        wait(lambda: self.state() != before, 60, f'nothing changed after {what}')
        now = self.settled()
        self.pictures += now[0] != before[0]
        return now

    def there_and_back(self, label:str, text):
        "Move a control with keys, and back."
        self.tab_to(label)
        kind = lambda css: self.browser.js(f"document.activeElement.matches({json.dumps(css)})")
        if kind('.noUi-handle'):
            last = self.browser.js("(o => o.ariaValueNow==o.ariaValueMax)(document.activeElement)")
            ranged = self.browser.js(f"{self.control(label)}.querySelectorAll('.noUi-handle').length > 1")
            keys = [['End'],['Home']] if ranged else [['ArrowLeft'],['ArrowRight']] if last else [['ArrowRight'],['ArrowLeft']]
        elif kind('input[type=text]'):
            old = self.browser.js('document.activeElement.value')
            keys = [[('a',CTRL), *(o or ['Delete']), 'Enter'] for o in (text,old)]
        elif kind('.widget-toggle-buttons button'): keys = [['Tab',' '],[('Tab',SHIFT),' ']]
        else: keys = [[' '],[' ']]                                        # a box to tick
        for o in keys:
            self.changes(lambda: self.browser.press(*o), spell(o))
            self.shoot(label)

    def follows_run(self, label:str, steps, flag:Path):
        "A run takes steps: the dashboard follows until it is told not to, even while Python is busy; `refresh` looks once."
        step = lambda: do(self.browser, STEP.format(next(steps)))
        status = lambda: self.browser.js(f'{KERNEL}.status')
        def ignored(why):
            before = self.settled()
            step()
            time.sleep(4)
            if self.state() != before: raise ValueError(f'follows {why}')
        self.tab_to(label)
        if label=='refresh':
            ignored('without being told')
            self.changes(lambda: self.browser.press(' '), 'Space')
            return
        self.changes(step, 'a step of the run')
        busy = f"""import pathlib, time
for i in range(200, 300):
    {STEP.format('i')}
    time.sleep(.5)
    if pathlib.Path({str(flag)!r}).exists(): break"""
        before = self.state()
        self.browser.js('void '+execute(busy))
        wait(lambda: self.state() != before, 60, 'does not follow while Python is busy: nothing changed')
        if status() != 'busy': raise ValueError('follows only when Python is no longer busy')
        flag.touch()
        wait(lambda: status()=='idle', 30, 'Python stayed busy')
        self.shoot(label)
        self.browser.press(' ')
        ignored('after it was told not to')
        self.changes(lambda: self.browser.press(' '), 'Space')
        self.browser.press(' ')

    def plays(self):
        "Space in a player plays its sound."
        for _ in range(40):
            if self.browser.js("document.activeElement.matches('audio')"): break
            self.browser.press('Tab')
        else: raise ValueError('the tab key does not get there')
        seconds = self.browser.js('document.activeElement.duration')
        self.browser.press(' ')
        wait(lambda: self.browser.js('document.activeElement.currentTime > 0'), 20, 'it does not play')
        self.browser.press(' ')
        return f'{seconds:.1f} s of sound'

def check(what:str, f):
    "Try it, and say in a line what came of it."
    start = time.monotonic()
    ok,gone = True,False
    try: found = f()
    except (ValueError, RuntimeError, OSError) as e: found,ok = str(e),False
    except Gone as e: found,ok,gone = str(e),False,True
    if not ok: failures.append(what)
    print(('ok    ' if ok else 'FAIL  ') + what + (f': {found}' if found else '') + f' ({time.monotonic()-start:.1f} s)', flush=True)
    if gone: sys.exit(1)
    return ok

def check_live(browser:Browser, lab:str, token:str, page:str, tmp:Path, shots:Path|None) -> int:
    "How many panels the page has."
    browser.errors.clear()
    panels = PAGES.get(page)
    if not check(f'{page}: opens in JupyterLab', lambda: open_page(browser, lab, token, page)): return len(panels or ())
    if not check(f'{page}: runs', lambda: run_all(browser)): return len(panels or ())
    if panels is None: panels = {o:{} for o in PanelOnPage.on_page(browser)}
    for name,controls in panels.items():
        panel,steps = PanelOnPage(browser, page, name, shots),iter(range(100, 200))
        if not check(f'{page}: {name} is shown', panel.enter): continue
        for label,text in controls.items():
            def move():
                if name=='RunDashboard': panel.follows_run(label, steps, tmp/'seen')
                else: panel.there_and_back(label, text)
            if not check(f'{page}: {name}, {label}', move): panel.shoot(f'{label}-FAIL')
        if not controls:
            check(f'{page}: {name}, its picture', panel.has_picture)
            continue
        if browser.js(f"!!{panel.here}.querySelector('audio')"): check(f'{page}: {name}, player', panel.plays)
        def picture():
            if not panel.pictures: raise ValueError('never changed')
        check(f'{page}: {name}, its picture changes', picture)
    def quiet():
        browser.js('0')                                                   # hear what is still under way
        if browser.errors: raise ValueError('; '.join(o[:300] for o in browser.errors))
    check(f'{page}: no error in the console', quiet)
    return len(panels)

def check_saved(browser:Browser, file:Path, panels:int, tmp:Path):
    "The page as it was saved: a picture with a text for each panel, and nothing that needs Python."
    from nbconvert import HTMLExporter
    if 'jupyter.widget-view' in file.read_text(encoding='utf-8'):
        raise ValueError('it holds controls that are dead on the site: save the pictures with '
                         f'jupyter nbconvert --to notebook --execute --inplace nbs/{file.name}')
    html = tmp/'saved.html'
    body = HTMLExporter(template_name='basic').from_filename(str(file))[0]
    html.write_text('<!doctype html><meta charset=utf-8>'+body, encoding='utf-8')
    browser('Page.navigate', url=html.as_uri())
    wait(lambda: browser.js("document.readyState=='complete'"), 60, 'the page did not load')
    seen = browser.js('[...document.images].filter(o => o.naturalWidth > 100).length')
    outputs = [o for c in json.loads(file.read_text(encoding='utf-8'))['cells'] for o in c.get('outputs', [])]
    alts = [o for o in outputs if o.get('metadata', {}).get('image/png', {}).get('alt')]
    if min(seen, len(alts)) < panels:
        raise ValueError(f'{panels} panels, {seen} pictures, {len(alts)} with a text that says what they show')
    return f'{seen} pictures'

def lab_command(tmp:Path, port:int, token:str) -> tuple[list,dict]:
    "JupyterLab with nothing of this user's settings, that asks nothing of the network."
    settings = tmp/'config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings'
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    folders = {f'JUPYTER_{o.upper()}_DIR': str(tmp/o) for o in ('config','data','runtime')}
    env = {**os.environ, **folders, 'IPYTHONDIR':str(tmp/'ipython'), 'OMP_NUM_THREADS':'1'}
    for o in 'JUPYTERLAB_SETTINGS_DIR','JUPYTERLAB_WORKSPACES_DIR','JUPYTER_PATH','JUPYTER_CONFIG_PATH','MPLBACKEND':
        env.pop(o, None)
    return [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ip=127.0.0.1', f'--port={port}',
            '--ServerApp.port_retries=0', f'--ServerApp.root_dir={tmp/"pages"}', f'--IdentityProvider.token={token}',
            '--LabApp.expose_app_in_browser=True', '--ServerApp.terminals_enabled=False'],env

@call_parse
def main(
    pages:Param('Other pages, to be run and looked at', str, opt=False, nargs='*')=(),
    shots:str='', # folder for pictures of the screen, before and after each control
):
    "Try the widgets in JupyterLab with a headless Chromium; exit code 1 when something is wrong."
    program = os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if not program:
        print('skipped: Chromium is not installed; `apt-get install chromium`, or name another Chrome in the variable CHROMIUM')
        return
    if not find_spec('jupyterlab') or not find_spec('websocket'):
        print("skipped: JupyterLab is not installed; `pip install -e '.[dev]'` brings it")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))               # so that nothing is left running
    here,start = Path(__file__).resolve().parent.parent,time.monotonic()
    if shots: Path(shots).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        tmp,port,debug,token = Path(tmp),free_port(),free_port(),os.urandom(16).hex()
        (tmp/'pages').mkdir()
        files = {o.relative_to(here).as_posix(): o for o in [here/p for p in PAGES]+[Path(p).resolve() for p in pages]}
        for o,file in files.items():
            (tmp/'pages'/o).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tmp/'pages'/o)
        chromium = [program, '--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking',
                    '--disable-dev-shm-usage', '--no-first-run', f'--user-data-dir={tmp/"chromium"}', '--window-size=1280,1000',
                    f'--remote-debugging-port={debug}', '--remote-allow-origins=*', 'about:blank']
        home = {**os.environ, 'HOME':str(tmp)}
        with running(*lab_command(tmp, port, token), tmp/'lab.log'), running(chromium, home, tmp/'chromium.log'):
            lab,browser = f'http://127.0.0.1:{port}',None
            def up():
                nonlocal browser
                wait(lambda: fetch(f'{lab}/api', token=token), 120, 'JupyterLab did not start')
                browser = Browser(debug)
            if check('JupyterLab and Chromium start', up):
                for page,file in files.items():
                    panels = check_live(browser, lab, token, page, tmp, Path(shots) if shots else None)
                    check(f'{page}: saved, without Python', lambda: check_saved(browser, file, panels, tmp))
            else:
                for o in 'lab.log','chromium.log': print((tmp/o).read_text(errors='replace')[-2000:])
    print(f'{len(failures)} failures in {time.monotonic()-start:.0f} s')
    sys.exit(bool(failures))
