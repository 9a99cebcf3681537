# An event loop for code that runs `asyncio` by itself, and threads and pools that run their work at once: there is one
# thread, and tools are called synchronously.
import asyncio, atexit, collections, concurrent.futures, heapq, queue, sys, threading, time
import concurrent.futures.thread


class _Loop(asyncio.AbstractEventLoop):
    def __init__(self):
        self._ready, self._timers, self._count = collections.deque(), [], 0
        self._running = self._closed = self._stopping = False

    def time(self): return time.monotonic()
    def is_running(self): return self._running
    def is_closed(self): return self._closed
    def close(self): self._closed = True
    def stop(self): self._stopping = True
    def get_debug(self): return False
    def set_debug(self, enabled): pass
    def create_future(self): return asyncio.Future(loop=self)
    def create_task(self, coro, **kwargs): return asyncio.Task(coro, loop=self, **kwargs)
    def get_task_factory(self): return None
    def get_exception_handler(self): return None
    def set_exception_handler(self, handler): pass
    def default_exception_handler(self, context): pass

    def call_exception_handler(self, context):
        # Such as the exception of a task that nothing awaited.
        error = context.get('exception')
        print(context.get('message', 'an error in asyncio'), '' if error is None else repr(error), file=sys.stderr)

    def _timer_handle_cancelled(self, handle): pass
    def add_signal_handler(self, *args): raise NotImplementedError('there are no signals')
    async def shutdown_asyncgens(self): pass
    async def shutdown_default_executor(self, timeout=None): pass

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def run_in_executor(self, executor, function, *args):
        future = self.create_future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def run_forever(self):
        self._stopping = False
        self._drive(lambda: self._stopping)

    def run_until_complete(self, future):
        task = asyncio.ensure_future(future, loop=self)
        self._drive(task.done)
        return task.result()

    def _drive_once(self):
        turns = [True]
        self._drive(lambda: not turns.pop() if turns else True)

    def _drive(self, done):
        outer, was = asyncio._get_running_loop(), self._running
        # A task is only swapped in the loop that runs.
        task = None if outer is None else asyncio.tasks._swap_current_task(outer, None)
        asyncio._set_running_loop(self)
        self._running = True
        try:
            while not done():
                self._once()
        finally:
            asyncio._set_running_loop(outer)
            if outer is not None:
                asyncio.tasks._swap_current_task(outer, task)
            self._running = was

    def _once(self):
        while self._timers and self._timers[0][2]._cancelled:
            heapq.heappop(self._timers)
        if not self._ready:
            if not self._timers:
                raise RuntimeError('deadlock: every task waits for another one')
            wait = self._timers[0][0] - self.time()
            if wait > 0:
                time.sleep(wait)
        now = self.time()
        while self._timers and self._timers[0][0] <= now + 1e-9:
            self._ready.append(heapq.heappop(self._timers)[2])
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle._cancelled:
                handle._run()


def _run(main, *, debug=None, loop_factory=None):
    loop = _Loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


async def _to_thread(function, /, *args, **kwargs):
    return function(*args, **kwargs)


_default = _Loop()


def _get_event_loop():
    return asyncio._get_running_loop() or _default


class _Runner:
    def __init__(self, *, debug=None, loop_factory=None): self._loop = _Loop()
    def __enter__(self): return self
    def __exit__(self, *args): self._loop.close()
    def close(self): self._loop.close()
    def get_loop(self): return self._loop
    def run(self, coro, *, context=None): return self._loop.run_until_complete(coro)


class _Executor(concurrent.futures.Executor):
    def __init__(self, *args, **kwargs): pass
    def shutdown(self, wait=True, *, cancel_futures=False): pass

    def submit(self, function, /, *args, **kwargs):
        future = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


_pause, _now = time.sleep, time.monotonic
# Timers of `threading` that are not due: the time, a number, the timer.
_timers = []


def _fire():
    when, _, timer = heapq.heappop(_timers)
    _pause(max(0, when - _now()))
    timer._fire()


def _sleep(seconds, /):
    if not _timers or not seconds >= 0:
        return _pause(seconds)
    end = _now() + seconds
    while _timers and _timers[0][0] <= end:
        _fire()
    _pause(max(0, end - _now()))


def _wait(done, timeout, what):
    end = None if timeout is None else _now() + timeout
    while not done():
        if _timers and (end is None or _timers[0][0] <= end):
            _fire()
        elif end is None:
            raise RuntimeError(f'deadlock: this would wait forever for {what}. There is one thread, and the work of other '
                               'threads is done when start() returns: do what is waited for first')
        else:
            _pause(max(0, end - _now()))
            return done()
    return True


class _Lock:
    def __init__(self): self._held = False

    def acquire(self, blocking=True, timeout=-1):
        if self._held:
            limit = (None if timeout < 0 else timeout) if blocking else 0
            if limit == 0 or not _wait(lambda: not self._held, limit, 'a lock that is held'):
                return False
        self._held = True
        return True

    def release(self):
        if not self._held:
            raise RuntimeError('release unlocked lock')
        self._held = False

    def locked(self): return self._held
    def __enter__(self): return self.acquire()
    def __exit__(self, *args): self.release()
    def _at_fork_reinit(self): self._held = False


class _Condition(threading.Condition):
    _told = 0

    def wait(self, timeout=None):
        if not self._is_owned():
            raise RuntimeError('cannot wait on un-acquired lock')
        self._told = 0
        saved = self._release_save()
        try:
            return _wait(lambda: self._told > 0, timeout, 'a notification')
        finally:
            self._acquire_restore(saved)

    def notify(self, n=1):
        if not self._is_owned():
            raise RuntimeError('cannot notify on un-acquired lock')
        self._told += n

    def notify_all(self): self.notify()


class _Event(threading.Event):
    def wait(self, timeout=None):
        return _wait(self.is_set, timeout, 'an event that is not set')


class _Thread:
    _count = 0

    def __init__(self, group=None, target=None, name=None, args=(), kwargs=None, *, daemon=None, context=None):
        _Thread._count += 1
        self._number = _Thread._count
        self.name, self.daemon = name or f'Thread-{self._number}', bool(daemon)
        self._target, self._args, self._kwargs = target, args, kwargs or {}
        self.ident = self.native_id = None

    def run(self):
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def start(self):
        self._begin()
        self._run()

    def _begin(self):
        if self.ident is not None:
            raise RuntimeError('threads can only be started once')
        self.ident = self.native_id = self._number

    def _run(self):
        try:
            self.run()
        except SystemExit:
            pass
        except Exception:
            import traceback
            traceback.print_exc()

    def join(self, timeout=None): pass
    def is_alive(self): return False


class _Timer(_Thread):
    def __init__(self, interval, function, args=None, kwargs=None):
        super().__init__(target=function, args=args or (), kwargs=kwargs)
        self.interval, self.function, self.finished = interval, function, _Event()

    def start(self):
        self._begin()
        heapq.heappush(_timers, (_now() + self.interval, self._number, self))

    def cancel(self):
        self.finished.set()
        _timers[:] = [entry for entry in _timers if entry[2] is not self]
        heapq.heapify(_timers)

    def _fire(self):
        self._run()
        self.finished.set()

    def join(self, timeout=None): _wait(lambda: not self.is_alive(), timeout, 'a timer')
    def is_alive(self): return self.ident is not None and not self.finished.is_set()


_register = atexit.register


def _at_exit(function, /, *args, **kwargs):
    if sys._getframe(1).f_code.co_filename == '<code>':
        raise RuntimeError('atexit: functions at the exit never run, because a session is dropped rather than ended; call '
                           'the function at the end of the code')
    return _register(function, *args, **kwargs)


atexit.register = _at_exit
time.sleep = _sleep
threading.Thread, threading.Timer, threading.Lock = _Thread, _Timer, _Lock
threading.Condition, threading.Event = _Condition, _Event
queue.SimpleQueue = queue._PySimpleQueue
for _module in (asyncio, asyncio.events):
    _module.new_event_loop, _module.get_event_loop = _Loop, _get_event_loop
    _module.set_event_loop = lambda loop: None
asyncio.run = asyncio.runners.run = _run
asyncio.Runner = asyncio.runners.Runner = _Runner
asyncio.to_thread = asyncio.threads.to_thread = _to_thread
asyncio._set_running_loop(None)
for _module in (concurrent.futures, concurrent.futures.thread):
    _module.ThreadPoolExecutor = _Executor
concurrent.futures.ProcessPoolExecutor = _Executor
