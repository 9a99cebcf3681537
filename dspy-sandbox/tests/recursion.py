# Programs that recurse in the C code of the interpreter, each with its end: `caught` is a `RecursionError` that the
# program caught, `ok` no error at all, and `lost` says that the variables were lost.

## json.loads of lists: recursion, lost
import json
json.loads('[' * 100000)

## json.loads of closed lists: recursion, lost
import json
json.loads('[' * 100000 + ']' * 100000)

## json.loads of objects: recursion, lost
import json
json.loads('{"a":' * 100000)

## json.dumps: recursion, lost
import json
x = []
for _ in range(100000): x = [x]
try: json.dumps(x)
finally:
    while x: x = x[0]

## pickle.dumps: recursion, lost
import pickle
x = []
for _ in range(100000): x = [x]
try: pickle.dumps(x)
finally:
    while x: x = x[0]

## pickle.loads: ok
import pickle
pickle.loads(b'(' * 0 + b']' * 100000 + b'a' * 99999 + b'.')

## marshal.dumps: caught
import marshal
x = []
for _ in range(100000): x = [x]
try:
    try: marshal.dumps(x)
    except ValueError: raise RecursionError
finally:
    while x: x = x[0]

## marshal.loads: caught
import marshal
try: marshal.loads(b'[\x01\x00\x00\x00' * 100000 + b'N')
except (ValueError, EOFError): raise RecursionError

## repr of a list: recursion, lost
x = []
for _ in range(100000): x = [x]
try: repr(x)
finally:
    while x: x = x[0]

## repr of dictionaries: recursion, lost
x = {}
for _ in range(100000): x = {1: x}
try: repr(x)
finally:
    while x: x = x[1]

## comparison: ok
x, y = [], []
for _ in range(100000): x, y = [x], [y]
try: x == y
finally:
    while x: x, y = x[0], y[0]

## hash of tuples: ok
x = ()
for _ in range(100000): x = (x,)
try: hash(x)
finally:
    while x: x = x[0]

## compile of parentheses: caught
try: compile('(' * 100000, 'x', 'eval')
except (SyntaxError, MemoryError): raise RecursionError

## compile of a sum: recursion, lost
compile('+'.join(['1'] * 100000), 'x', 'eval')

## compile of unary operators: caught
try: compile('-' * 100000 + '1', 'x', 'eval')
except MemoryError: raise RecursionError

## compile of attributes: recursion, lost
compile('a' + '.b' * 100000, 'x', 'eval')

## compile of calls: recursion, lost
compile('a' + '()' * 100000, 'x', 'eval')

## compile of else-if: Raised { kind: "SyntaxError", message: "the code is nested too deeply, such as in parentheses", line: Some(3) }
compile('if a: b\n' + 'elif a: b\n' * 20000, 'x', 'exec')

## ast.literal_eval: caught
import ast
try: ast.literal_eval('[' * 10000 + ']' * 10000)
except (SyntaxError, MemoryError): raise RecursionError

## ast.unparse: caught
import ast
x = ast.Constant(1)
for _ in range(10000): x = ast.UnaryOp(ast.USub(), x)
ast.unparse(x)

## compile of a tree: recursion, lost
import ast
x = ast.Constant(1, lineno=1, col_offset=0)
for _ in range(10000): x = ast.UnaryOp(ast.USub(), x, lineno=1, col_offset=0)
compile(ast.Expression(x), 'x', 'eval')

## a regular expression of groups: caught
import re
re.compile('(' * 10000 + ')' * 10000)

## copy.deepcopy: caught
import copy
x = []
for _ in range(100000): x = [x]
try: copy.deepcopy(x)
finally:
    while x: x = x[0]

## isinstance of tuples: ok
t = int
for _ in range(100000): t = (t,)
try: isinstance('', t)
finally:
    while isinstance(t, tuple): t = t[0]

## __getattr__: caught
class A:
    def __getattr__(self, name): return getattr(self, name + 'x')
A().a

## keys of sorted: recursion, lost
def key(x): return sorted([x], key=key)[0]
key(1)

## __eq__ through a list: caught
class A:
    def __eq__(self, other): return [self] == [A()]
A() == A()

## map in map: recursion, lost
m = iter([1])
for _ in range(100000): m = map(abs, m)
try: next(m)
finally: del m

## generators in generators: caught
def g(n):
    yield from g(n + 1)
next(g(0))

## functools.partial: caught
import functools
f = abs
for _ in range(100000): f = functools.partial(lambda g: g(), f)
f()

## freeing closures: recursion, lost
def wrap(f): return lambda: f
f = None
for _ in range(100000): f = wrap(f)
del f

## freeing lists: ok
x = []
for _ in range(100000): x = [x]
del x

## freeing objects: ok
class A: pass
x = None
for _ in range(100000):
    a = A()
    a.next = x
    x = a
del x, a

## freeing generators: ok
def g(x): yield x
x = None
for _ in range(100000):
    x = g(x)
    next(x)
del x

## freeing iterators: ok
m = iter([1])
for _ in range(100000): m = map(abs, m)
del m
