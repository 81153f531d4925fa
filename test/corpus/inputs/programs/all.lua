-- Runs under 5.1 to 5.4 and LuaJIT alike.
local unpack = table.unpack or unpack
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print(fib(20), 7 % -3, -7 % 3, 2 ^ 53, 1e15, 0.1, 1 / 3, math.floor(-3.5), math.fmod(-7, 3), string.format('%5.2f|%d|%x|%q|%g|%s', math.pi, 42, 255, 'a\n"b', 1e100, 'x'))
local t = {} for i = 1, 3000 do t[i] = (i * 7919) % 1009 end table.sort(t) print(t[1], t[1000], #t, table.concat(t, ',', 1, 30))
table.sort(t, function(a, b) return a > b end) print(t[1], t[3000])
print(('hello world'):gsub('o', '0'), ('key = value'):match('^(%w+)%s*=%s*(%w+)$'), ('abc'):rep(3), ('x'):byte(), ('%d'):len(), ('THE (quick) fox'):find('%((%a+)%)'))
for w, n in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do io.write(w, n, ' ') end print()
local co = coroutine.wrap(function(a) for i = 1, 3 do a = coroutine.yield(a * i) end return 'done' end) print(co(2), co(3), co(4), co(5))
local V = setmetatable({}, { __call = function(c, x, y) return setmetatable({ x = x, y = y }, c) end }) V.__index = V
V.__add = function(a, b) return V(a.x + b.x, a.y + b.y) end V.__tostring = function(v) return '(' .. v.x .. ',' .. v.y .. ')' end V.__eq = function(a, b) return a.x == b.x end V.__lt = function(a, b) return a.x < b.x end
print(tostring(V(1, 2) + V(3, 4)), V(1, 2) == V(1, 3), V(1, 0) < V(2, 0))
print(pcall(error, { code = 1 }) , select('#', pcall(error)), (select(2, pcall(function() local x = nil; return x.y end)):gsub('^.-:%d+: ', '')))
print(pcall(string.rep), (xpcall(function() error('deep', 0) end, function(m) return 'handled ' .. m end)))
local function recurse(n) return 1 + recurse(n + 1) end print(pcall(recurse, 1) == false)
local n = 0 for line in io.lines('text') do n = n + #line end print(n)
local f = io.open('written', 'w') f:write('data ', 12, '\n') f:close() f = io.open('written') print(f:read('*a'), f:seek('set', 2), f:read(2)) f:close()
local sieve, primes = {}, 0 for i = 2, 5000 do if not sieve[i] then primes = primes + 1 for j = i * i, 5000, i do sieve[j] = true end end end print(primes)
local m = {} for i = 1, 30 do m[i] = {} for j = 1, 30 do m[i][j] = i * j % 7 + 0.5 end end local s = 0 for i = 1, 30 do for j = 1, 30 do for k = 1, 30 do s = s + m[i][k] * m[k][j] end end end print(s)
print(math.max(3, 9, 2), math.huge, -math.huge, math.sin(1), math.exp(1), math.sqrt(2), tonumber('0x10'), tonumber('zz', 36), tonumber('1e1'), tostring(nil), type(print), unpack({ 1, 2, 3 }))
print(os.time({ year = 2000, month = 1, day = 1, hour = 12 }), os.date('!%Y-%m-%d', 0), os.getenv('LANG'), os.getenv('NOSUCH'))
local big = {} for i = 1, 20000 do big[#big + 1] = i % 256 end local str = {} for i = 1, #big do str[i] = string.char(big[i]) end str = table.concat(str) local h = 5381 for i = 1, #str do h = (h * 33 + str:byte(i)) % 4294967296 end print(h, #str)
local count = 0 for k in pairs(setmetatable({ a = 1, b = 2, 3, 4 }, {})) do count = count + 1 end print(count, next({}), rawequal(t, t), #'\0abc')
collectgarbage() print(collectgarbage('count') > 0) os.exit(4)
