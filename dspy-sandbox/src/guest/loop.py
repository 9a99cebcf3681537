# An event loop for code that runs `asyncio` by itself, and threads and pools that run their work at once: there is one
# thread, and tools are called synchronously.
import asyncio, collections, concurrent.futures, heapq, threading, time
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
    def call_exception_handler(self, context): pass
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


class _Thread:
    _count = 0

    def __init__(self, group=None, target=None, name=None, args=(), kwargs=None, *, daemon=None, context=None):
        _Thread._count += 1
        self.name, self.daemon = name or f'Thread-{_Thread._count}', bool(daemon)
        self._target, self._args, self._kwargs = target, args, kwargs or {}
        self.ident = self.native_id = None

    def run(self):
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def start(self):
        if self.ident is not None:
            raise RuntimeError('threads can only be started once')
        self.ident = self.native_id = _Thread._count
        try:
            self.run()
        except Exception:
            import traceback
            traceback.print_exc()

    def join(self, timeout=None): pass
    def is_alive(self): return False


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
threading.Thread = _Thread
