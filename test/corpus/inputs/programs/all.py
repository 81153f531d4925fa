import bisect, collections, copy, csv, dataclasses, datetime, decimal, difflib, enum, fractions, functools, gzip, hashlib, heapq, hmac, io, itertools, json, math, operator, os, pickle, random, re, shutil, statistics, string, struct, sys, tempfile, textwrap, time, traceback, unicodedata, uuid, zlib, array, base64, binascii, configparser, contextlib, ipaddress, secrets, urllib.parse, xml.etree.ElementTree as et, colorsys, cmath, calendar, abc, ast, inspect, lzma, bz2, pathlib, glob, typing, weakref, html, locale, gettext, argparse, logging, sqlite3, email.message, selectors, mmap, fcntl, resource

@dataclasses.dataclass(order=True)
class P:
    x: int
    y: float = 0.5
class Color(enum.Enum):
    RED = 1
    BLUE = 2
print(sorted([P(3), P(1, 2.5), P(1)]), list(Color), dataclasses.asdict(P(9)))
print(collections.Counter(open('text', encoding='utf8').read().split()).most_common(12))
print(json.dumps(json.load(open('data.json')), sort_keys=True)[:400])
print(decimal.Decimal(2).sqrt(decimal.Context(60)), fractions.Fraction(355, 113) ** 5, statistics.stdev(range(50)), math.gamma(5.5), cmath.exp(1j))
print(re.sub(r'(?P<w>\w+) (\w+)', r'\2 \g<w>', 'hello world foo bar'), re.findall(r'(?<=a)b+(?!c)', 'abbc abb abc'), re.split(r'[,;]\s*', 'a, b;c'))
print(struct.pack('<iHbdf4sq', -5, 65535, -1, 1.5, 0.1, b'ab', 2**62).hex(), struct.unpack('>3h', b'\0\1\xff\xff\x7f\xff'))
print(pickle.loads(pickle.dumps({'a': [1, 2.5, None, (True,)], 'b': {1, 2}})), copy.deepcopy([[1], {2: [3]}]), zlib.crc32(b'x' * 1000), zlib.adler32(b'abc'))
for m in sorted(hashlib.algorithms_guaranteed): 
    h = hashlib.new(m, open('random', 'rb').read()); print(m, h.hexdigest(20) if 'shake' in m else h.hexdigest())
print(hmac.new(b'k', b'm', 'sha256').hexdigest(), base64.b85encode(bytes(range(40))), binascii.crc_hqx(b'abc', 0))
print(datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc) + datetime.timedelta(days=366, hours=5), datetime.date(2000, 1, 1).strftime('%A %j %U'), calendar.monthrange(2023, 2))
random.seed(7); print([random.random() for _ in range(3)], random.sample(range(1000), 5), random.gauss(0, 1), random.choices('abc', k=8), random.getrandbits(100))
print([f(0.37) for f in (math.sin, math.cos, math.tan, math.asin, math.acos, math.atan, math.sinh, math.cosh, math.tanh, math.exp, math.log, math.log2, math.log10, math.erf, math.lgamma, math.expm1, math.cbrt)])
print(f'{1/3:.30f} {1e23} {0.1+0.2!r} {2**0.5:a<20.3e} {12345678:,} {255:#x} {-1:08b} {1e-320} {float("inf")} {math.nan} {round(2.5)} {round(-1.15, 1)}', (0.1).hex(), float.fromhex('0x1.8p3'), (2.75).as_integer_ratio())
print(3 ** 500 // 7 ** 100, pow(3, 10**20, 10**9 + 7), (1 << 200) - 1, int('z' * 30, 36), math.isqrt(10**50), math.factorial(50), divmod(-10**30, 7**20))
print(list(itertools.islice(itertools.permutations('abcd', 3), 5, 12)), functools.reduce(operator.mul, range(1, 20)), heapq.nsmallest(4, [(i * 37) % 101 for i in range(50)]), bisect.bisect([1, 3, 5], 3))
def gen():
    try:
        x = yield 1
        while True: x = yield x * 2
    finally: print('closed')
g = gen(); next(g); print(g.send(5), g.send(7)); g.close()
try: raise ValueError('x') from KeyError('y')
except ValueError as e: print(repr(e), repr(e.__cause__)); print(traceback.format_exc().count('\n'))
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
print(deep(900))
try: deep(10**6)
except RecursionError as e: print('RecursionError', e)
print(unicodedata.normalize('NFD', 'café').encode(), 'ß'.upper(), 'ﬁ'.casefold(), unicodedata.name('ü'), '日本'.encode('shift-jis'), 'Ω'.encode('utf-16'))
print(list(csv.reader(open('table.csv')))[5], '\n'.join(textwrap.wrap('lorem ipsum dolor ' * 5, 30)), list(difflib.unified_diff(['a', 'b'], ['a', 'c'], lineterm='')))
root = et.parse('data.xml').getroot(); print(len(root), root[3].attrib, et.tostring(root[1]))
with tempfile.TemporaryDirectory() as d:
    p = pathlib.Path(d) / 'f'; p.write_bytes(b'x' * 10000); print(p.stat().st_size, shutil.copy(p, d + '/g')[-1], sorted(os.listdir(d))); 
    with open(p, 'r+b') as f, mmap.mmap(f.fileno(), 0) as m: m[5:8] = b'abc'; print(m.find(b'abc'), m[:10])
print(gzip.decompress(gzip.compress(b'q' * 5000, 9))[:3], lzma.decompress(lzma.compress(b'w' * 5000))[:3], bz2.decompress(bz2.compress(b'e' * 5000))[:3])
a = array.array('d', (i / 7 for i in range(1000))); print(sum(a), a.itemsize, array.array('h', [1, -2]).tobytes()); m = memoryview(bytearray(range(20))).cast('I'); print(m.tolist())
print(ipaddress.ip_network('10.0.0.0/29').num_addresses, uuid.uuid5(uuid.NAMESPACE_DNS, 'a.b'), urllib.parse.urlencode({'a': 'ü&'}), html.escape('<&>'), string.Template('$x').substitute(x=1))
print(ast.literal_eval("{'a': [1, (2, 3)]}"), ast.dump(ast.parse('x = 1 + y')), eval('lambda q: q ** 2')(12), inspect.signature(deep))
c = sqlite3.connect(':memory:'); c.execute('create table t(a, b)'); c.executemany('insert into t values (?, ?)', ((i, str(i * i)) for i in range(500))); print(c.execute('select sum(a), max(b), count(*) from t where a % 3').fetchone())
r, w = os.pipe(); pid = os.fork()
if pid == 0: os.close(r); os.write(w, b'from the child'); os._exit(3)
os.close(w); print(os.read(r, 100), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.environ['LANG'], os.getcwd() == os.path.realpath('.'), oct(os.stat('text').st_mode), sorted(glob.glob('t*')))
n = 60; print(sum(1 for i in range(2, 3000) if all(i % j for j in range(2, int(i ** 0.5) + 1))), [[sum(i * j for j in range(9)) for i in range(4)] for _ in range(2)])
class Meta(type):
    def __new__(m, n, b, d): d['tag'] = n.lower(); return super().__new__(m, n, b, d)
class Q(metaclass=Meta):
    def __getattr__(self, n): return n * 2
    def __enter__(self): return self
    def __exit__(self, *a): return True
with Q() as q: print(q.tag, q.abc); raise RuntimeError
match (1, {'k': [2, 3]}):
    case (x, {'k': [y, *z]}): print(x, y, z)
sys.exit(6)
