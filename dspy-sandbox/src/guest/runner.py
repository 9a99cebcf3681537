# What the host calls: `__dspy_init`, `__dspy_set` and `__dspy_run`. Names are bound before code of models runs, so that
# code which changes modules or builtins breaks itself rather than this.
import _eryx, ast, asyncio, builtins, gc, io, json, linecache, random, sys, traceback, types

builtins.exit = builtins.quit = sys.exit
sys.settrace(None)
sys.settrace = sys.setprofile = lambda function: None
sys.stdin = io.StringIO()
sys.argv = ['']


def _make(
    connect=_eryx._eryx_tcp_connect, read=_eryx._eryx_tcp_read, write=_eryx._eryx_tcp_write,
    close=_eryx._eryx_tcp_close, report=_eryx._eryx_report_output, ast=ast, sys=sys, dumps=json.dumps,
    loads=json.loads, extract=traceback.extract_tb, lines=linecache.cache, Loop=_Loop, builtins=builtins,
    Unsupported=io.UnsupportedOperation, set_loop=asyncio._set_running_loop,
    BaseException=BaseException, Exception=Exception, MemoryError=MemoryError, RecursionError=RecursionError,
    RuntimeError=RuntimeError, SyntaxError=SyntaxError, SystemExit=SystemExit, TypeError=TypeError, UnicodeError=UnicodeError,
    compile=compile, eval=eval, exec=exec, dict=dict, getattr=getattr, int=int, isinstance=isinstance, len=len,
    min=min, range=range, str=str, super=super, type=type,
):
    CHUNK = 65536
    ASYNC = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    main = types.ModuleType('__main__')
    scope = main.__dict__
    limits = {'stdout': 0, 'bytes': 0}
    infrastructure = sys.modules['__main__']

    class Stop(BaseException):
        pass

    class Output:
        encoding, errors, newlines, closed, mode, name = 'utf-8', 'replace', None, False, 'w', '<stdout>'

        def __init__(self):
            self.line, self.room = [], 0

        def write(self, text):
            if not isinstance(text, str):
                raise TypeError('write() argument must be str, not ' + type(text).__name__)
            try:
                size = len(text.encode())
            except UnicodeError:
                text = text.encode('utf-8', 'replace').decode()
                size = len(text)
            if size > self.room:
                text = text[:self.room]
                self.line.append(text)
                self.room = 0
                self.flush()
                stopped.append('output')
                raise Stop('output')
            self.room -= size
            self.line.append(text)
            if '\n' in text or len(self.line) > 1000:
                self.flush()
            return len(text)

        def writelines(self, texts):
            for text in texts:
                self.write(text)

        def flush(self):
            if self.line:
                text = ''.join(self.line)
                self.line = []
                report(0, text)

        def isatty(self): return False
        def readable(self): return False
        def writable(self): return True
        def seekable(self): return False
        def fileno(self): raise Unsupported('fileno')

    stopped = []
    output = Output()

    def exchange(port, payload):
        kind, handle = connect('dspy', port)
        if kind:
            raise RuntimeError(handle)
        try:
            for start in range(0, len(payload), CHUNK):
                kind, value = write(handle, payload[start:start + CHUNK])
                if kind:
                    raise RuntimeError(value)
            parts = []
            while True:
                kind, value = read(handle, CHUNK)
                if kind:
                    raise RuntimeError(value)
                if not value:
                    return b''.join(parts)
                parts.append(value)
        finally:
            close(handle)

    def input_():
        return exchange(2, b'').decode()

    def function(name, doc, parameters):
        def tool(*args, **kwargs):
            try:
                payload = dumps([name, args, kwargs], allow_nan=False).encode()
            except RecursionError:
                raise
            except Exception as error:
                raise TypeError(f'{name}() takes values of JSON: {error}') from None
            if len(payload) > limits['bytes']:
                raise RuntimeError(f'the arguments of {name}() are too large: {len(payload)} bytes, the limit is '
                                   f'{limits["bytes"]}')
            reply = loads(exchange(1, payload))
            if 'stop' in reply:
                stopped.append(reply['stop'])
                raise Stop(reply['stop'])
            if 'error' in reply:
                raise (TypeError if reply.get('type') else RuntimeError)(reply['error']) from None
            return reply['value']
        tool.__name__ = tool.__qualname__ = name
        tool.__doc__ = f'{name}({", ".join(parameters)})\n\n{doc}'
        return tool

    def init():
        given = loads(input_())
        limits.update(given['limits'])
        random.seed(given['seed'])
        for tool in given['tools']:
            scope[tool['name']] = function(tool['name'], tool['doc'], tool['parameters'])

    def assign():
        try:
            name, value = loads(input_())
        except MemoryError:
            return {'stop': 'memory'}
        scope[name] = value
        return {'value': None}

    def describe(error):
        try:
            message = str(error)[:2000]
        except BaseException:
            message = ''
        line = None
        frame = error.__traceback__
        while frame is not None:
            if frame.tb_frame.f_code.co_filename == '<code>':
                line = frame.tb_lineno
            frame = frame.tb_next
        if isinstance(error, SyntaxError):
            message, line = str(error.msg)[:2000], error.lineno
        return {'kind': type(error).__name__[:200], 'message': message, 'line': line}

    def evaluate(code):
        if code.co_flags & 0x80:
            return Loop().run_until_complete(eval(code, scope))
        return eval(code, scope)

    def execute(source):
        lines['<code>'] = (len(source), None, source.splitlines(True), '<code>')
        tree = ast.parse(source, '<code>')
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        # Compiled before anything runs: code that does not compile has no effects.
        value = compile(ast.Expression(last.value), '<code>', 'eval', ASYNC) if last else None
        evaluate(compile(tree, '<code>', 'exec', ASYNC))
        return None if value is None else evaluate(value)

    def run():
        source = input_()
        stopped.clear()
        output.room, output.line = limits['stdout'], []
        sys.stdout = sys.stderr = output
        sys.modules['__main__'] = main
        set_loop(None)
        try:
            try:
                value = execute(source)
            finally:
                sys.modules['__main__'] = infrastructure
                output.flush()
            result = {'value': None}
            if value is not None:
                try:
                    text = dumps(value, allow_nan=False)
                except MemoryError:
                    raise
                except Exception:
                    text = None
                if text is not None and len(text) > limits['bytes']:
                    result = {'kind': 'ValueError', 'line': None, 'message': f'the value of the last line is too '
                              f'large: {len(text)} bytes of JSON, the limit is {limits["bytes"]}; assign it instead'}
                elif text is not None:
                    result = {'value': text}
        except SystemExit as error:
            code = error.code
            if code is None or isinstance(code, int) and code == 0:
                result = {'value': None}
            else:
                result = describe(error)
                result['kind'] = 'SystemExit'
        except BaseException as error:
            result = describe(error)
            if isinstance(error, MemoryError):
                result['stop'] = 'memory'
            elif isinstance(error, RecursionError):
                result['stop'] = 'recursion'
            elif isinstance(error, Stop):
                result['stop'] = stopped[-1] if stopped else 'crash'
            error = None
        if 'stop' not in result and stopped:
            result = {'stop': stopped[-1]}
        restore()
        return result

    saved = dict(builtins.__dict__)
    modules = dict(sys.modules)

    def restore():
        scope['__builtins__'] = builtins
        now = builtins.__dict__
        if now != saved:
            dict.clear(now)
            dict.update(now, saved)
        if not modules.keys() <= sys.modules.keys():
            dict.update(sys.modules, modules)

    return init, assign, run


__dspy_init, __dspy_set, __dspy_run = _make()
# Sessions share the memory that they do not write to: the collector leaves alone what is here.
gc.collect()
gc.freeze()
