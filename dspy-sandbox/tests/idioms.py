# group: text and data
## f-strings with formats
n, x = 1234567, 3.14159
print(f"{n:,} {x:.2f} {'a':>3} {n=}")
#> 1,234,567 3.14   a n=1234567
## nested quotes in f-strings
d = {"a": 1}
print(f"{d["a"]} {', '.join(f"{k}={v}" for k, v in d.items())}")
#> 1 a=1
## regular expressions with named groups
import re
m = re.search(r"(?P<year>\d{4})-(?P<month>\d\d)", "on 2024-05-17")
print(m["year"], m.group("month"), re.findall(r"\w+", "a b"), re.sub(r"\d", "#", "a1b2"))
#> 2024 05 ['a', 'b'] a#b#
## JSON there and back
import json
print(json.dumps(json.loads('{"b": [1, 2.5, null], "a": "é"}'), sort_keys=True, ensure_ascii=False))
#> {"a": "é", "b": [1, 2.5, null]}
## CSV from text
import csv, io
print([row["name"] for row in csv.DictReader(io.StringIO("name,age\nAda,36\nBob,7\n"))])
#> ['Ada', 'Bob']
## splitting a document into chunks
text = "abcdefghij" * 3
chunks = [text[i:i + 12] for i in range(0, len(text), 12)]
print(len(chunks), chunks[-1])
#> 3 efghij
## Counter and most common
from collections import Counter
print(Counter("the cat the dog the end".split()).most_common(1))
#> [('the', 3)]
## defaultdict of lists
from collections import defaultdict
groups = defaultdict(list)
for word in ["apple", "avocado", "bean"]: groups[word[0]].append(word)
print(dict(groups))
#> {'a': ['apple', 'avocado'], 'b': ['bean']}
## sorting by several keys
print(sorted([("b", 1), ("a", 2), ("a", 1)], key=lambda p: (p[0], -p[1])))
#> [('a', 2), ('a', 1), ('b', 1)]
## groupby after sorting
from itertools import groupby
print({k: len(list(g)) for k, g in groupby(sorted("mississippi"))})
#> {'i': 4, 'm': 1, 'p': 2, 's': 4}
## textwrap and dedent
import textwrap
print(textwrap.shorten("a long line of text", 12), textwrap.dedent("  x\n  y").splitlines())
#> a long [...] ['x', 'y']
## unicode normalization
import unicodedata
print(unicodedata.normalize("NFKD", "Café").encode("ascii", "ignore").decode())
#> Cafe
## bytes, base64 and hashes
import base64, hashlib
print(base64.b64encode(b"hi").decode(), hashlib.sha256(b"hi").hexdigest()[:8])
#> aGk= 8f434346
## XML with ElementTree
import xml.etree.ElementTree as ET
print([e.text for e in ET.fromstring("<r><i>1</i><i>2</i></r>").iter("i")])
#> ['1', '2']
## HTML entities and a parser
from html.parser import HTMLParser
from html import unescape
class Texts(HTMLParser):
    out = []
    def handle_data(self, data): self.out.append(data)
p = Texts()
p.feed("<p>a &amp; <b>b</b></p>")
print("".join(p.out), unescape("&lt;"))
#> a & b <
# group: numbers
## exact fractions
from fractions import Fraction
print(sum(Fraction(1, n) for n in range(1, 5)))
#> 25/12
## decimals with a context
from decimal import Decimal, getcontext
getcontext().prec = 10
print(Decimal(1) / Decimal(7), Decimal("0.1") + Decimal("0.2"))
#> 0.1428571429 0.3
## large integers
print(2 ** 200 % 1_000_007, len(str(2 ** 5000)), pow(3, -1, 11))
#> 446616 1506 4
## math functions
import math
print(math.comb(10, 3), math.gcd(12, 18), math.isqrt(99), round(math.dist((0, 0), (3, 4)), 1), math.prod([2, 3]))
#> 120 6 9 5.0 6
## statistics
import statistics
print(statistics.mean([1, 2, 6]), statistics.median([1, 3, 2]), round(statistics.stdev([1, 2, 3]), 2))
#> 3 2 1.0
## complex numbers
import cmath
print((1 + 2j) * (3 - 1j), round(cmath.phase(1j), 4))
#> (5+5j) 1.5708
## a sieve of primes
sieve = [True] * 50
for i in range(2, 8):
    if sieve[i]: sieve[i * i::i] = [False] * len(sieve[i * i::i])
print([i for i in range(2, 50) if sieve[i]][-3:])
#> [41, 43, 47]
## memoized recursion
from functools import lru_cache
@lru_cache(maxsize=None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
print(fib(200))
#> 280571172992510140037611932413038677189525
## deep recursion with a raised limit
import sys
sys.setrecursionlimit(20_000)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
print(depth(10_000))
#> 10000
## permutations and products
from itertools import permutations, product, combinations
print(len(list(permutations(range(5)))), len(list(product("ab", repeat=3))), list(combinations("abc", 2))[0])
#> 120 8 ('a', 'b')
## dynamic programming over a grid
grid = [[0] * 6 for _ in range(6)]
for i in range(6):
    for j in range(6): grid[i][j] = 1 if 0 in (i, j) else grid[i - 1][j] + grid[i][j - 1]
print(grid[5][5])
#> 252
## shortest path with a heap
import heapq
graph = {"a": {"b": 1, "c": 4}, "b": {"c": 2}, "c": {}}
queue, best = [(0, "a")], {}
while queue:
    cost, node = heapq.heappop(queue)
    if node in best: continue
    best[node] = cost
    for to, more in graph[node].items(): heapq.heappush(queue, (cost + more, to))
print(best)
#> {'a': 0, 'b': 1, 'c': 3}
## seeded random numbers
import random
random.seed(1)
a = random.sample(range(100), 3)
random.seed(1)
print(a == random.sample(range(100), 3), 0 <= random.random() < 1)
#> True True
## numpy arrays
import numpy as np
print(np.arange(6).reshape(2, 3).sum(axis=0).tolist())
#> [3, 5, 7]
## pandas frames
import pandas as pd
print(pd.DataFrame({"a": [1, 2]})["a"].mean())
#> 1.5
## sympy equations
import sympy
print(sympy.solve("x**2 - 4"))
#> [-2, 2]
# group: the language
## dataclasses
from dataclasses import dataclass, field, asdict
@dataclass(order=True)
class Item:
    name: str
    tags: list[str] = field(default_factory=list)
print(asdict(Item("a", ["x"])), Item("a") < Item("b"))
#> {'name': 'a', 'tags': ['x']} True
## enums
from enum import Enum, auto
class Color(Enum):
    RED = auto()
    BLUE = auto()
print(Color(2).name, [c.value for c in Color])
#> BLUE [1, 2]
## pattern matching
def area(shape):
    match shape:
        case {"kind": "circle", "r": r}: return 3 * r * r
        case [w, h]: return w * h
        case _: return None
print(area({"kind": "circle", "r": 2}), area([2, 3]), area(1))
#> 12 6 None
## assignment expressions
if (n := len("abcd")) > 3: print(n)
#> 4
## exceptions with a chain
try:
    try: {}["x"]
    except KeyError as error: raise ValueError("no x") from error
except ValueError as error:
    print(error, repr(error.__cause__))
#> no x KeyError('x')
## exception groups
try:
    raise ExceptionGroup("many", [ValueError(1), TypeError(2)])
except* ValueError as group:
    print(len(group.exceptions))
except* TypeError:
    print("type")
#> 1
#> type
## context managers
from contextlib import contextmanager, suppress
@contextmanager
def tag(name):
    print(f"<{name}>")
    yield
    print(f"</{name}>")
with tag("b"), suppress(KeyError): {}["x"]
#> <b>
#> </b>
## generators that receive
def total():
    value = 0
    while True: value += (yield value)
g = total()
next(g)
print(g.send(2), g.send(3))
#> 2 5
## decorators with arguments
import functools
def twice(sign):
    def wrap(f):
        @functools.wraps(f)
        def inner(*args): return f(*args) + sign + f(*args)
        return inner
    return wrap
@twice("+")
def show(x):
    "Shows."
    return str(x)
print(show(1), show.__name__)
#> 1+1 show
## abstract classes and properties
from abc import ABC, abstractmethod
class Shape(ABC):
    @property
    @abstractmethod
    def area(self): ...
class Square(Shape):
    def __init__(self, side): self.side = side
    @property
    def area(self): return self.side ** 2
print(Square(3).area)
#> 9
## named tuples and typing
from typing import NamedTuple, get_type_hints
class Point(NamedTuple):
    x: int
    y: int = 0
print(Point(1), get_type_hints(Point)["y"])
#> Point(x=1, y=0) <class 'int'>
## generics with the new syntax
def first[T](items: list[T]) -> T: return items[0]
type Pair = tuple[int, int]
print(first([3]), Pair.__value__)
#> 3 tuple[int, int]
## star arguments and unpacking
def f(a, *rest, key=None, **more): return a, rest, key, more
head, *tail = [1, 2, 3]
print(f(*tail, key=head, z=1), [*tail, *range(2)], {**{"a": 1}, "b": 2})
#> (2, (3,), 1, {'z': 1}) [2, 3, 0, 1] {'a': 1, 'b': 2}
## the main guard
def main(): print("main")
if __name__ == "__main__": main()
#> main
## introspection of own code
import inspect
def add(a, b=1): return a + b
print(inspect.signature(add), inspect.getsource(add).strip())
#> (a, b=1) def add(a, b=1): return a + b
## eval and exec
scope = {}
exec("y = 6 * 7", scope)
print(scope["y"], eval("1 + 1"))
#> 42 2
# group: the standard library
## dates and differences
from datetime import date, datetime, timedelta
print((date(2024, 3, 1) - date(2024, 2, 1)).days, datetime.strptime("17 May 2024", "%d %B %Y").isoformat())
#> 29 2024-05-17T00:00:00
## calendar and weekdays
import calendar
print(calendar.monthrange(2024, 2), calendar.day_name[4])
#> (calendar.THURSDAY, 29) Friday
## time zones by offset
from datetime import datetime, timezone, timedelta
print(datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))).astimezone(timezone.utc).hour)
#> 10
## time zones by name
from datetime import datetime
from zoneinfo import ZoneInfo
print(datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")).utcoffset())
#> 2:00:00
## paths without files
from pathlib import PurePosixPath, Path
print(PurePosixPath("/a/b.txt").suffix, Path("x") / "y")
#> .txt x/y
## URLs
from urllib.parse import urlparse, parse_qs, quote
print(urlparse("http://a.b/c?d=1").netloc, parse_qs("d=1&d=2"), quote("a b"))
#> a.b {'d': ['1', '2']} a%20b
## a timer around code
import time
start = time.perf_counter()
time.sleep(0.01)
print(time.perf_counter() - start >= 0.01)
#> True
## captured output
import io
from contextlib import redirect_stdout
buffer = io.StringIO()
with redirect_stdout(buffer): print("inner")
print(repr(buffer.getvalue()))
#> 'inner\n'
## a printed traceback
import traceback
try: 1 / 0
except ZeroDivisionError: traceback.print_exc()
print("after")
#> Traceback (most recent call last):
#>   File "<code>", line 2, in <module>
#>     try: 1 / 0
#>          ~~^~~
#> ZeroDivisionError: division by zero
#> after
## pretty printing and deep copies
import copy, pprint
a = {"k": [1, [2]]}
b = copy.deepcopy(a)
b["k"][1].append(3)
pprint.pprint(a)
#> {'k': [1, [2]]}
## pickles of own classes
import pickle
class Point:
    def __init__(self, x): self.x = x
print(pickle.loads(pickle.dumps(Point(3))).x)
#> 3
## compression in memory
import gzip, zlib
print(gzip.decompress(gzip.compress(b"abc" * 100))[:3], len(zlib.compress(b"a" * 1000)) < 50)
#> b'abc' True
## an archive in memory
import io, zipfile
data = io.BytesIO()
with zipfile.ZipFile(data, "w") as archive: archive.writestr("a.txt", "hi")
print(zipfile.ZipFile(data).read("a.txt"))
#> b'hi'
## a table in SQL
import sqlite3
db = sqlite3.connect(":memory:")
db.execute("create table t(a)")
db.execute("insert into t values (1), (2)")
print(db.execute("select sum(a) from t").fetchone())
#> (3,)
## difflib and bisect
import bisect, difflib
print(difflib.get_close_matches("appel", ["ape", "apple"], 1), bisect.bisect([1, 3, 5], 4))
#> ['apple'] 2
## a file written and read again
with open("notes.txt", "w") as f: f.write("hi")
print(open("notes.txt").read())
#> hi
# group: tools and concurrency
## a tool by position and by name
print(shout("hi"), shout(text="hi", times=2))
#> HI HI HI
## a tool inside a nested function
def helper(words):
    def inner(word): return shout(word)
    return [inner(word) for word in words]
print(helper(["a", "b"]))
#> ['A', 'B']
## a tool in a comprehension and in map
print({w: shout(w) for w in "ab"}, list(map(shout, ["x", "y"])))
#> {'a': 'A', 'b': 'B'} ['X', 'Y']
## an error of a tool that is caught
try: fails("no such page")
except Exception as error: print("caught:", error)
#> caught: `fails` failed: no such page
## retries around a tool
for attempt in range(3):
    try:
        print(fails("x") if attempt < 2 else shout("done"))
        break
    except RuntimeError: pass
#> DONE
## structured arguments and results
print(shape({"points": [{"x": 1}, {"x": 2}]})["count"])
#> 2
## asyncio.run with gather
import asyncio
async def work(n):
    await asyncio.sleep(0.001 * n)
    return n
async def main(): return await asyncio.gather(*(work(n) for n in range(3)))
print(asyncio.run(main()))
#> [0, 1, 2]
## top-level await
import asyncio
async def f(): return 7
print(await f(), await asyncio.gather(f(), f()))
#> 7 [7, 7]
## a semaphore and a timeout
import asyncio
async def main():
    async with asyncio.Semaphore(2): pass
    try: await asyncio.wait_for(asyncio.sleep(10), 0.001)
    except asyncio.TimeoutError: return "timeout"
print(asyncio.run(main()))
#> timeout
## a pool of threads with map
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(max_workers=4) as pool: print(list(pool.map(shout, ["a", "b"])))
#> ['A', 'B']
## as_completed over futures
from concurrent.futures import ThreadPoolExecutor, as_completed
with ThreadPoolExecutor() as pool:
    futures = {pool.submit(shout, w): w for w in "ab"}
    print(sorted(f.result() for f in as_completed(futures)))
#> ['A', 'B']
## threads with a lock
import threading
total, lock = 0, threading.Lock()
def add():
    global total
    with lock: total += 1
threads = [threading.Thread(target=add) for _ in range(3)]
for t in threads: t.start()
for t in threads: t.join()
print(total)
#> 3
## to_thread around a tool
import asyncio
async def main(): return await asyncio.to_thread(shout, "x")
print(asyncio.run(main()))
#> X
