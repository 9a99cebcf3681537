# Hostile programs, each in a section of its own: `## name: what it may end as`. `ok` is a normal end.
## endless loop: timeout
while True: pass
## endless loop that catches everything: timeout
while True:
    try:
        while True: pass
    except BaseException: pass
## endless loop in finally: timeout
try:
    1 / 0
finally:
    while True: pass
## endless generator: timeout
def forever():
    while True: yield 1
sum(forever())
## endless comprehension in C: timeout
import itertools
sum(itertools.repeat(1))
## endless iteration in C: timeout
import collections, itertools
collections.deque(itertools.count(), maxlen=0)
## endless recursion through await: timeout recursion memory
async def f():
    await f()
await f()
## endless asyncio: timeout
import asyncio
async def spin():
    while True: await asyncio.sleep(0)
asyncio.run(spin())
## long sleep: timeout
import time
time.sleep(10**6)
## sleeps in a loop that catches everything: timeout
import time
while True:
    try: time.sleep(0.01)
    except BaseException: pass
## wait for a lock: raised
import threading
lock = threading.Lock()
lock.acquire()
lock.acquire()
## a thread that waits for ever: ok
import queue, threading
t = threading.Thread(target=queue.Queue().get)
t.start()
t.join()
## a barrier: raised
import threading
threading.Barrier(2).wait()
## wait for a queue: raised
import queue
queue.Queue().get()
## regular expression that explodes: timeout
import re
re.match(r'(a+)+$', 'a' * 40 + 'b')
## regular expression with nested quantifiers: timeout
import re
re.match(r'(.*)*(.*)*(.*)*X', 'y' * 60)
## power tower: timeout memory raised
9 ** 9 ** 9
## huge shift: memory raised
1 << (10 ** 12)
## huge factorial: timeout memory
import math
math.factorial(10 ** 7)
## digits of a huge integer: raised timeout
import sys
sys.set_int_max_str_digits(0)
str(7 ** 4_000_000)[:5]
## huge integer from text: raised timeout
import sys
sys.set_int_max_str_digits(0)
int('9' * 5_000_000) % 7
## memory in one piece: memory
x = bytearray(10 ** 9)
## memory beyond the address space: memory raised
x = bytearray(2 ** 40)
## memory bit by bit: memory
x = []
while True: x.append('a' * 100_000)
## memory bit by bit that catches everything: memory timeout crashed
x = []
while True:
    try:
        while True: x.append([0] * 10_000)
    except BaseException: pass
## doubling text: memory raised
x = 'x'
while True: x = x + x
## doubling list: memory
x = [0]
while True: x = x * 2
## laughs: memory timeout
a = 'lol'
for _ in range(12): a = [a] * 10
str(a)
## dictionary bomb: memory timeout
{i: str(i) * 100 for i in range(10 ** 9)}
## format bomb: memory raised
'{:>2000000000}'.format('x')
## percent bomb: memory raised
'%2000000000d' % 1
## repeated text: memory
'x' * (10 ** 9)
## compressed bomb: memory ok timeout
import zlib
c = zlib.compressobj()
packed = b''.join(c.compress(bytes(1_000_000)) for _ in range(600)) + c.flush()
len(zlib.decompress(packed))
## generator bomb: memory timeout
list(iter(int, 1))
## output bomb: output
while True: print('x' * 1000)
## output bomb that catches everything: output timeout
while True:
    try: print('x' * 1000)
    except BaseException: pass
## output bomb in one piece: output
print('x' * 20_000_000)
## output on stderr: output
import sys
while True: sys.stderr.write('x' * 1000)
## output past Python: output
import os
while True:
    try: os.write(1, b'x' * 100_000)
    except OSError: pass
## output past the writer: timeout crashed
import _eryx
while True: _eryx._eryx_report_output(0, 'x' * 100_000)
## output past the writer in one piece: crashed memory output ok
import _eryx
_eryx._eryx_report_output(0, 'x' * 50_000_000)
## output through the old stream: output
import sys
while True: sys.__stdout__.write('x' * 100_000)
## deep recursion: recursion
def f(n): return f(n + 1)
f(0)
## deep recursion with a raised limit: recursion memory timeout
import sys
sys.setrecursionlimit(10 ** 9)
def f(n): return f(n + 1)
f(0)
## deep recursion through C: recursion memory timeout crashed
import sys, functools
sys.setrecursionlimit(10 ** 9)
def f(x): return list(map(f, [x]))
f(0)
## deep recursion through repr: recursion memory raised timeout crashed
x = []
for _ in range(200_000): x = [x]
repr(x)
## deep recursion through destruction: ok recursion memory timeout
x = None
for _ in range(200_000): x = [x]
del x
## deep recursion through comparison: ok recursion memory timeout
x = y = None
for _ in range(10 ** 5): x, y = [x], [y]
x == y
## deep recursion through attributes: recursion
class A:
    def __getattr__(self, name): return getattr(self, name + 'x')
A().y
## deep recursion through hashing: ok recursion memory timeout
x = ()
for _ in range(200_000): x = (x,)
hash(x)
## deep recursion through JSON: recursion raised
import json
json.loads('[' * 10 ** 6)
## nested parentheses: raised memory recursion
eval('(' * 100_000 + ')' * 100_000)
## parentheses nested 150 deep: raised ok
eval('(' * 150 + ')' * 150)
## a sum of 100,000 terms: recursion crashed
eval('+'.join(['1'] * 100_000))
## nested operators: raised memory recursion
eval('-' * 1_000_000 + '1')
## nested attributes: raised memory recursion ok timeout
import ast
ast.parse('a' + '.b' * 200_000)
## deep pickles: recursion memory raised timeout crashed
import pickle
x = []
for _ in range(10 ** 5): x = [x]
pickle.dumps(x)
## exit: ok
import sys
sys.exit()
## exit with a code: raised
import sys
sys.exit(3)
## exit from a thread of its own: raised ok
import sys, threading
t = threading.Thread(target=lambda: sys.exit(3))
t.start()
## exit at once: raised
import os
os._exit(3)
## abort: raised crashed
import os
os.abort()
## exits in a loop: timeout
import sys
while True:
    try: sys.exit()
    except SystemExit: pass
## signals: raised ok crashed
import signal, os
signal.signal(signal.SIGINT, lambda *a: None)
os.kill(os.getpid(), signal.SIGKILL)
## alarms: raised
import signal
signal.alarm(1)
## raised signals: raised crashed ok
import signal
signal.raise_signal(signal.SIGABRT)
## a subprocess: raised
import subprocess
subprocess.run(['ls', '/'])
## a shell: raised
import os
os.system('ls /')
## a fork: raised
import os
os.fork()
## a new program: raised
import os
os.execv('/bin/sh', ['sh'])
## ctypes: raised
import ctypes
ctypes.string_at(0)
## a thread below threading: raised
import _thread
_thread.start_new_thread(print, (1,))
## a socket: raised
import socket
socket.create_connection(('1.1.1.1', 80), timeout=1).recv(10)
## a socket of its own: raised
import socket
s = socket.socket()
s.connect(('127.0.0.1', 80))
## a name: ok raised
import socket
assert all(entry[4][0] == 'example.com' for entry in socket.getaddrinfo('example.com', 80))
## a page: raised
import urllib.request
urllib.request.urlopen('http://example.com')
## the host's files: raised
open('/etc/passwd').read()
## the host's folders: raised
import os
os.listdir('/')
## a file to write: raised
open('x', 'w').write('x')
## a temporary file: raised
import tempfile
tempfile.NamedTemporaryFile()
## the library's files: raised
open('/python-stdlib/os.py').read()
## standard input: raised
input()
## standard input past Python: raised ok
import os
assert os.read(0, 100) == b''
## the environment: ok
import os
assert not [name for name in os.environ if not name.startswith('PYTHON')]
## subclasses to a process: raised
[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'Popen'][0](['ls'])
## subclasses to a loader: raised
[c for c in object.__subclasses__() if c.__name__ == 'FileLoader' or c.__name__ == 'BuiltinImporter'][0].load_module('posix').open('/etc/passwd', 0)
## frames of the runner: ok raised crashed
import sys
f, own = sys._getframe(), globals()
while f:
    if f.f_globals is not own: f.f_globals.clear()
    f = f.f_back
## patched code objects: crashed raised timeout memory ok
def f(): pass
f.__code__ = f.__code__.replace(co_code=b'\x64\xff' * 100)
f()
## crash by marshal: crashed raised memory timeout ok recursion
import marshal
exec(marshal.loads(b'\xe3' + b'\xff' * 200))
## poisoned string of the interpreter: raised crashed ok
import _eryx
_eryx.context_set_(0)
_eryx.waitable_set_drop_(12345)
## a call without a loop: raised crashed ok timeout
import _eryx
_eryx._eryx_invoke_async('x', '{}')
## deleted builtins: raised ok
import builtins
for name in list(vars(builtins)): delattr(builtins, name)
## cleared builtins: raised ok
__builtins__.__dict__.clear()
## replaced builtins: ok raised
import builtins
builtins.len = builtins.isinstance = builtins.str = builtins.compile = builtins.__import__ = None
## cleared modules: ok
import sys
sys.modules.clear()
## replaced parser: ok
import ast
ast.parse = ast.Expr = None
## cleared variables: ok
keep = 41
for name in list(globals()):
    if name != 'keep': del globals()[name]
## replaced tools: ok
echo = print
## a low limit of recursion: ok recursion raised
import sys
sys.setrecursionlimit(40)
## monitoring that never ends: timeout
import sys
def spin(*args):
    while True: pass
sys.monitoring.use_tool_id(2, 'x')
sys.monitoring.register_callback(2, sys.monitoring.events.PY_START, spin)
sys.monitoring.set_events(2, sys.monitoring.events.PY_START)
len(str(keep))
(lambda: 1)()
## replaced streams: ok raised
import sys
sys.stdout = sys.stderr = None
## replaced JSON: ok
import json
json.dumps = json.loads = None
json.JSONEncoder.encode = None
## poisoned equality: ok timeout
class Evil(dict):
    def __eq__(self, other):
        while True: pass
    def __iter__(self):
        while True: pass
Evil()
## value that never serializes: ok timeout
class Evil(dict):
    def items(self):
        while True: pass
Evil(a=1)
## error that never prints: timeout
class Evil(Exception):
    def __str__(self):
        while True: pass
raise Evil()
## error with a huge message: raised
raise ValueError('x' * 10_000_000)
## destructor that never ends: timeout
class Evil:
    def __del__(self):
        while True: pass
Evil()
None
## destructor at exit: ok timeout
class Evil:
    def __del__(self):
        while True: pass
kept = Evil()
## audit hook: raised
import sys
def hook(*args):
    while True: pass
sys.addaudithook(hook)
open('x')
## trace function: ok
import sys
def trace(*args):
    while True: pass
sys.settrace(trace)
## import hook: timeout
import sys
class Finder:
    def find_spec(self, *args):
        while True: pass
sys.meta_path.insert(0, Finder())
import no_such_module
## huge value: raised memory
'x' * 20_000_000
## deep value of a tool: raised
deep()
## list of a tool with too many items: raised timeout
flood_of_lists()
## deep value: ok
x = []
for _ in range(500): x = [x]
x
## cyclic value: ok
x = []
x.append(x)
x
## tool bomb: calls
while True: echo(1)
## tool bomb that catches everything: calls timeout
while True:
    try: echo(1)
    except BaseException: pass
## tool with huge arguments: raised
echo('x' * 20_000_000)
## tool with huge arguments past Python: raised ok
import _eryx
kind, handle = _eryx._eryx_tcp_connect('dspy', 1)
for _ in range(1000):
    if _eryx._eryx_tcp_write(handle, b'x' * 60_000)[0]: break
else:
    raise SystemError('took all of it')
## tool with one huge write: crashed ok raised memory
import _eryx
kind, handle = _eryx._eryx_tcp_connect('dspy', 1)
assert _eryx._eryx_tcp_write(handle, b'x' * 50_000_000)[0]
## connections without end: ok
import _eryx
assert any(_eryx._eryx_tcp_connect('dspy', 1)[0] for _ in range(1000))
## tool with a huge result: raised
flood()
## tool that panics: raised
panics()
## tool that hangs: timeout
hangs()
## tool with wrong arguments: raised
echo(1, 2, 3)
## tool with a value that is none of JSON: raised
echo({1, 2})
## tool with a cycle: raised
x = []
x.append(x)
echo(x)
## tool that is not granted: raised
import _eryx
kind, handle = _eryx._eryx_tcp_connect('dspy', 1)
_eryx._eryx_tcp_write(handle, b'["secret", [], {}]')
raise ValueError(_eryx._eryx_tcp_read(handle, 1000))
## random bytes: ok memory raised timeout
import os
len(os.urandom(100_000_000))
## code that does not parse: raised
def f(:
## code with a null byte: raised
x = eval('1\0')
## surrogates: ok
print('\ud800')
'\ud800'
