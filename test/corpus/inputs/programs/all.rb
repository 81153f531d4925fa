# The core classes, blocks, exceptions, fibers, pattern matching and some of the standard library.
require 'json'; require 'set'; require 'stringio'; require 'digest'; require 'csv' rescue nil; require 'time'; require 'erb'; require 'zlib'; require 'tempfile'; require 'open3'; require 'matrix' rescue nil
def fib(n) = n < 2 ? n : fib(n - 1) + fib(n - 2)
puts fib(18), (1..20).reduce(:*), 2**300, 10.fdiv(3), 7.divmod(-2).inspect, 0.1 + 0.2, 1e20.to_i, 3.7 % 1, 255.to_s(2), 'ff'.to_i(16), Rational(3, 4) ** 3, Complex(1, 2) * Complex(0, 1)
words = File.read('text', encoding: 'utf-8').scan(/\p{L}+/); puts words.tally.max_by(10) { |w, n| [n, w] }.inspect
puts words.group_by(&:size).transform_values(&:count).sort.inspect, words.each_slice(3).first(2).inspect, words.uniq.sort_by { |w| [-w.size, w] }.first(5).inspect
Point = Struct.new(:x, :y) { def +(o) = Point.new(x + o.x, y + o.y) }
p Point.new(1, 2) + Point.new(3, 4), [3, 1, 2].sort { |a, b| b <=> a }, (1..10).each_cons(3).map(&:sum), %w[a b].zip([1, 2]).to_h, [1, [2, [3]]].flatten, [*1..9].partition(&:even?)
begin; Integer('x'); rescue ArgumentError => e; puts e.message; ensure puts 'ensured'; end
begin; [].fetch(3); rescue IndexError => e; puts e.message; end
def deep(n) = deep(n + 1)
begin; deep(0); rescue SystemStackError => e; puts e.class; end
f = Fiber.new { 3.times { |i| Fiber.yield i * i }; :done }; p 4.times.map { f.resume }
e = Enumerator.new { |y| a, b = 0, 1; loop { y << a; a, b = b, a + b } }; p e.lazy.select(&:odd?).first(8)
case { name: 'x', list: [1, 2, 3] } in { name: String => n, list: [first, *rest] } then p n, first, rest end
puts 'héllo wörld'.capitalize.center(20, '*'), 'abc'.succ, 'a-b_c'.tr('-_', '  '), 'x'.ord, "%05.2f|%+d|%x|%e|%-6s|" % [3.14159, 5, 255, 12345.678, 'ab'], 'snowman: ☃'.bytes.last(3).inspect, 'hello'.gsub(/l(?<n>.)/, '<\k<n>>'), 'abcabc'.index('c', 3)
puts Digest::MD5.hexdigest('x'), JSON.generate(JSON.parse(File.read('data.json'))['y']), Zlib.crc32('abc'), Zlib::Inflate.inflate(Zlib::Deflate.deflate('q' * 1000)).size, [1, 2.5, 'x'].pack('NGa3').inspect, Marshal.load(Marshal.dump([1, :a, { 'b' => nil }])).inspect, Time.at(1e9).utc.strftime('%F %T %A')
srand 42; p rand(100), [1, 2, 3, 4].shuffle(random: Random.new(3)), Random.new(5).rand
p Math.sin(1), Math.gamma(5.5), Math.cbrt(2), Math::E ** 2, 100.digits, 10.pow(50, 97), 3.14.rationalize(0.01r), Float::MAX, -0.0, 1.0 / 0
module Greet; def hi = "hi #{name}"; end
class Person; include Greet; include Comparable; attr_accessor :name; def initialize(n) = @name = n; def <=>(o) = name <=> o.name; def method_missing(m, *a) = m.to_s.start_with?('x') ? [m, a] : super; def respond_to_missing?(*) = true; end
puts Person.new('Bo').hi, [Person.new('b'), Person.new('a')].min.name, Person.new('c').xyz(1).inspect
puts [5, 3, 8].sum { _1 * 2 }, ObjectSpace.respond_to?(:garbage_collect), GC.start.inspect, catch(:out) { 10.times { |i| throw :out, i if i == 4 } }
r, w = IO.pipe; pid = fork { r.close; w.puts 'child'; exit! 3 }; w.close; puts r.read; Process.wait pid; puts $?.exitstatus, `echo back`; File.write('written', 'data'); puts File.size('written'), Dir.children('tree').sort.inspect
at_exit { puts 'bye' }
a = Array.new(300) { |i| (i * 7919) % 307 }; puts a.sort.each_with_index.sum { |x, i| x * i }, a.minmax.inspect, (1..400).select { |n| (2..Math.sqrt(n)).none? { |d| (n % d).zero? } }.size
exit 5
