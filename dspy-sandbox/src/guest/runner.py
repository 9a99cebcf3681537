# The functions that the host calls: `__dspy_init`, `__dspy_set` and `__dspy_run`. All that they need is bound before code
# of models runs, so that code which changes modules or builtins breaks itself rather than this.
import _eryx, ast, asyncio, builtins, gc, io, json, linecache, os, posix, random, sys, traceback, types, unicodedata


def _exit(status=0):
    raise SystemExit(status)


builtins.exit = builtins.quit = sys.exit
os._exit = posix._exit = _exit
sys.settrace(None)
# Functions that would run code of the model inside of the runner, or in every later run.
for _name in ('settrace', 'setprofile', 'addaudithook', '_settraceallthreads', '_setprofileallthreads'):
    setattr(sys, _name, lambda *args: None)
sys.argv = ['']


def _make(
    connect=_eryx._eryx_tcp_connect, read=_eryx._eryx_tcp_read, write=_eryx._eryx_tcp_write,
    close=_eryx._eryx_tcp_close, report=_eryx._eryx_report_output, sys=sys, lines=linecache.cache, loop=_default,
    timers=_timers, builtins=builtins, Unsupported=io.UnsupportedOperation, StringIO=io.StringIO,
    set_loop=asyncio._set_running_loop, make_encoder=json.encoder.c_make_encoder,
    quoted=json.encoder.c_encode_basestring, scan=json.JSONDecoder().scan_once, os_write=posix.write,
    sys_modules=sys.modules, set_depth=sys.setrecursionlimit, depth=sys.getrecursionlimit(),
    watched=sys.monitoring.get_tool, unwatch=sys.monitoring.free_tool_id, collector_calls=gc.callbacks,
    Expr=ast.Expr, Expression=ast.Expression, Call=ast.Call, Name=ast.Name, Attribute=ast.Attribute, AST=ast.AST,
    apart=(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    normalize=unicodedata.normalize,
    set_of_object=object.__setattr__, set_of_type=type.__setattr__, del_of_type=type.__delattr__,
    trace_of=BaseException.__traceback__.__get__, name_of=type.__dict__['__name__'].__get__,
    BaseException=BaseException, Exception=Exception, MemoryError=MemoryError, RecursionError=RecursionError,
    RuntimeError=RuntimeError, SyntaxError=SyntaxError, SystemExit=SystemExit, TypeError=TypeError, UnicodeError=UnicodeError,
    any=any, bytes=bytes, compile=compile, eval=eval, dict=dict, getattr=getattr, int=int, isinstance=isinstance,
    issubclass=issubclass, len=len, list=list, memoryview=memoryview, range=range, str=str, super=super, type=type,
):
    CHUNK = 65536
    ONLY_AST, ASYNC, COROUTINE = ast.PyCF_ONLY_AST, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, 0x80
    CALL, INPUT, ANSWER = 1, 2, 3
    # Calls that need a loop which runs.
    LOOPED = {'create_task', 'ensure_future', 'gather', 'get_running_loop', 'current_task'}
    main = types.ModuleType('__main__')
    scope = main.__dict__
    limits = {'stdout': 0, 'bytes': 0}
    granted = {}
    infrastructure = sys.modules['__main__']

    class Stop(BaseException):
        pass

    class Output:
        encoding, errors, newlines, closed, mode, name = 'utf-8', 'backslashreplace', None, False, 'w', '<stdout>'

        def __init__(self):
            self.line, self.room, self.buffer = [], 0, Bytes()

        def write(self, text):
            if not isinstance(text, str):
                raise TypeError('write() argument must be str, not ' + type(text).__name__)
            try:
                size = len(text.encode())
            except UnicodeError:
                text = clean(text)
                size = len(text.encode())
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

    class Bytes:
        closed, mode, name = False, 'wb', '<stdout>'

        def write(self, data):
            data = memoryview(data).cast('B')
            for start in range(0, len(data), CHUNK):
                write_raw(1, data[start:start + CHUNK])
            return len(data)

        def writelines(self, parts):
            for part in parts:
                self.write(part)

        def flush(self): output.flush()
        def isatty(self): return False
        def readable(self): return False
        def writable(self): return True
        def seekable(self): return False
        def fileno(self): raise Unsupported('fileno')

    def write_raw(fd, data, /):
        if fd == 1 or fd == 2:
            output.flush()
        return os_write(fd, data)

    stopped = []
    output = Output()
    # Code may set attributes of what it prints to, and of its class.
    printers = [(kind, dict(kind.__dict__)) for kind in (Output, Bytes)]
    os.write = posix.write = write_raw

    def clean(text):
        return text.encode('utf-8', 'backslashreplace').decode()

    def no_json(value):
        raise TypeError('Object of type ' + name_of(type(value)) + ' is not JSON serializable')

    def dumps(value):
        return ''.join(make_encoder({}, no_json, quoted, None, ': ', ', ', False, False, False)(value, 0))

    def loads(text):
        return scan(text, 0)[0]

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
                    return b''.join(parts).decode()
                parts.append(value)
        finally:
            close(handle)

    def function(name, doc, parameters):
        def tool(*args, **kwargs):
            try:
                payload = dumps([name, args, kwargs]).encode()
            except (MemoryError, RecursionError):
                raise
            except UnicodeError:
                raise TypeError(f'{name}() takes text without lone surrogates such as \\ud800; replace them with '
                                "text.encode('utf-8', 'replace').decode()") from None
            except Exception as error:
                raise TypeError(f'{name}() takes values of JSON: {error}') from None
            if len(payload) > limits['bytes']:
                raise RuntimeError(f'the arguments of {name}() are too large: {len(payload)} bytes, the limit is '
                                   f'{limits["bytes"]}')
            reply = loads(exchange(CALL, payload))
            if 'stop' in reply:
                stopped.append(reply['stop'])
                raise Stop(reply['stop'])
            if 'error' in reply:
                raise (TypeError if reply.get('type') else RuntimeError)(reply['error']) from None
            return reply['value']
        tool.__name__ = tool.__qualname__ = name
        tool.__doc__ = f'{name}({", ".join(parameters)})\n\n{doc}'
        return tool

    def answer(result):
        exchange(ANSWER, result if type(result) is bytes else b'J' + clean(dumps(result)).encode())

    # Python compares names in this form.
    def same(name):
        return name.isidentifier() and normalize('NFKC', name) == name

    def init():
        given = loads(exchange(INPUT, b''))
        limits.update(given['limits'])
        random.seed(given['seed'])
        for tool in given['tools']:
            if not same(tool['name']):
                return answer({'refused': tool['name']})
            granted[tool['name']] = function(tool['name'], tool['doc'], tool['parameters'])
        answer({})

    def assign():
        try:
            name, value = loads(exchange(INPUT, b''))
            if not same(name):
                return answer({'refused': name})
            scope[name] = value
        except MemoryError:
            return answer({'stop': 'memory'})
        answer({})

    def describe(error, phase):
        kind = type(error)
        name, line, frame = 'Exception', None, trace_of(error)
        while frame is not None:
            if frame.tb_frame.f_code.co_filename == '<code>':
                line = frame.tb_lineno
            frame = frame.tb_next
        try:
            name = clean(name_of(kind)[:200])
            message = clean(str(error)[:2000])
            if issubclass(kind, SyntaxError):
                message, line = clean(str(error.msg)[:2000]), error.lineno
        except BaseException:
            message = ''
        result = {'kind': name, 'message': message, 'line': line if type(line) is int else None}
        if issubclass(kind, MemoryError):
            result['stop'] = 'nesting' if phase == 'compiling' or message.startswith('Parser stack') else 'memory'
        elif issubclass(kind, RecursionError):
            result['stop'] = 'recursion'
        elif kind is Stop:
            result['stop'] = stopped[-1] if stopped else 'broken'
        return result

    def needs_loop(tree, source):
        if not any(name in source for name in LOOPED):
            return False
        nodes = [tree]
        while nodes:
            node = nodes.pop()
            if isinstance(node, Call):
                called = node.func
                name = called.id if isinstance(called, Name) else getattr(called, 'attr', None)
                if name in LOOPED:
                    return True
            for field in node._fields:
                parts = getattr(node, field, None)
                for part in parts if isinstance(parts, list) else (parts,):
                    if isinstance(part, AST) and not isinstance(part, apart):
                        nodes.append(part)
        return False

    def execute(source, phase):
        phase[0] = 'compiling'
        lines['<code>'] = (len(source), None, source.splitlines(True), '<code>')
        tree = compile(source, '<code>', 'exec', ONLY_AST, True)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], Expr) else None
        # Compiled before anything runs: code that does not compile has no effects.
        value = compile(Expression(last.value), '<code>', 'eval', ASYNC, True) if last else None
        looped = needs_loop(tree, source) or last is not None and needs_loop(last, source)
        body = compile(tree, '<code>', 'exec', ASYNC, True)
        phase[0] = 'running'
        waits = value is not None and value.co_flags & COROUTINE
        if not (looped or waits or body.co_flags & COROUTINE):
            eval(body, scope)
            return None if value is None else eval(value, scope)

        async def both():
            made = eval(body, scope)
            if body.co_flags & COROUTINE:
                await made
            if value is None:
                return None
            made = eval(value, scope)
            return await made if waits else made

        made = loop.run_until_complete(both())
        # Tasks that nothing waits for run until they wait themselves.
        for _ in range(100):
            if not loop._ready:
                break
            loop._drive_once()
        return made

    def shown(value):
        if value is None:
            return {'value': None}
        try:
            text = dumps(value).encode()
        except MemoryError:
            raise
        except RecursionError:
            return {'unshown': 'it is nested too deeply'}
        except UnicodeError:
            return {'unshown': 'it has a lone surrogate, such as \\ud800'}
        except Exception as error:
            return {'unshown': clean(str(error)[:500])}
        if len(text) > limits['bytes']:
            return {'kind': 'ValueError', 'line': None, 'message': f'the value of the last line is too large: {len(text)} '
                    f'bytes of JSON, the limit is {limits["bytes"]}; assign it instead'}
        return b'V' + text

    saved = list(builtins.__dict__.items())
    modules = dict(sys.modules)

    def reset():
        set_depth(depth)
        scope['__builtins__'], scope['__name__'] = builtins, '__main__'
        now = builtins.__dict__
        if len(now) != len(saved) or any(now.get(name) is not value for name, value in saved):
            dict.clear(now)
            dict.update(now, saved)
        if not modules.keys() <= sys_modules.keys():
            dict.update(sys_modules, modules)

    def begin():
        reset()
        dict.update(scope, granted)
        stopped.clear()
        timers.clear()
        collector_calls.clear()
        for tool in range(6):
            if watched(tool) is not None:
                unwatch(tool)
        for kind, members in printers:
            now = kind.__dict__
            for name in [name for name in now if name not in members]:
                del_of_type(kind, name)
            for name, value in members.items():
                if now.get(name) is not value:
                    set_of_type(kind, name, value)
        set_of_object(output, '__class__', Output)
        buffer = Bytes()
        set_of_object(output, '__dict__', {'line': [], 'room': limits['stdout'], 'buffer': buffer})
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = output
        sys.stdin = sys.__stdin__ = StringIO()
        sys_modules['__main__'] = main
        set_loop(None)

    # A timer would be forgotten after the run. One that is a daemon may be, as at the end of a program.
    def end_timers():
        left = [timer for _, _, timer in timers if not timer.daemon]
        timers.clear()
        if left:
            raise RuntimeError(f'{len(left)} timer(s) of threading had not fired when the code ended, and will not: timers '
                               'end with their run. Call join() of a timer, or cancel() it, or make it a daemon')

    def run():
        phase = ['starting']
        try:
            source = exchange(INPUT, b'')
            begin()
        except BaseException:
            return answer({'stop': 'broken'})
        try:
            try:
                value = execute(source, phase)
                end_timers()
            finally:
                set_depth(depth)
                sys_modules['__main__'] = infrastructure
                output.flush()
            result = shown(value)
            value = None
        except SystemExit as error:
            code = error.code
            if code is None or isinstance(code, int) and code == 0:
                result = {'value': None}
            else:
                result = describe(error, phase[0])
                result['kind'] = 'SystemExit'
        except BaseException as error:
            result = describe(error, phase[0])
            error = None
        if stopped and not (type(result) is dict and 'stop' in result):
            result = {'stop': stopped[-1]}
        try:
            reset()
        except BaseException:
            result = {'stop': 'broken'}
        answer(result)

    return init, assign, run


__dspy_init, __dspy_set, __dspy_run = _make()
# Sessions share the memory that they do not write to: the collector leaves alone what is here, and the gaps between
# objects are filled, so that new ones have pages of their own.


def _fill():
    kept = []
    for size in range(16, 513, 8):
        before, step, row = 0, 0, 0
        for _ in range(262144 // size):
            # The header of `bytes` has 17 bytes.
            made = bytes(max(size - 17, 2))
            kept.append(made)
            row = row + 1 if id(made) - before == step > 0 else 0
            before, step = id(made), id(made) - before
            if row * size >= 32768:
                break
    return tuple(kept)


gc.collect()
_filled = _fill()
gc.freeze()
