<?php
function fib($n) { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); }
echo fib(18), ' ', PHP_INT_MAX + 1, ' ', 7 % -3, ' ', 2 ** 62, ' ', 0.1 + 0.2, ' ', 1e100, ' ', intdiv(-7, 2), PHP_EOL;
$words = array_count_values(preg_split('/\W+/u', file_get_contents('text'), -1, PREG_SPLIT_NO_EMPTY)); arsort($words); ksort($words); print_r(array_slice($words, 0, 8, true));
printf("%05.2f|%'*10s|%-6s|%x|%b|%e|%u\n", 3.14159, 'pad', 'ab', 255, 5, 12345.678, -1);
echo json_encode(['a' => [1, 2.5, null, true], 'ü' => "x\ny"], JSON_PRETTY_PRINT | JSON_UNESCAPED_UNICODE), md5('x'), ' ', sha1('x'), ' ', hash('sha256', 'x'), ' ', crc32('x'), PHP_EOL;
interface Shape { function area(): float; } abstract class Base implements Shape { function __toString(): string { return static::class . sprintf('(%.2f)', $this->area()); } }
final class Circle extends Base { function __construct(private float $r) {} function area(): float { return M_PI * $this->r ** 2; } }
echo new Circle(2), PHP_EOL; try { throw new DomainException('bad', 3); } catch (LogicException $e) { echo get_class($e), $e->getCode(), PHP_EOL; } finally { echo 'finally', PHP_EOL; }
function g() { $x = yield 1; while (true) $x = yield $x * 2; } $g = g(); $g->current(); echo $g->send(5), $g->send(7), PHP_EOL;
$a = array_map(fn($i) => ($i * 7919) % 1009, range(1, 500)); sort($a); echo array_sum($a), ' ', $a[250], ' ', implode(',', array_filter($a, fn($x) => $x % 97 == 0)), PHP_EOL;
echo match (true) { $a[0] > 5 => 'big', default => 'small' }, ' ', str_pad(strrev('abc'), 6, '-', STR_PAD_BOTH), ' ', ucwords('the quick'), ' ', number_format(1234567.891, 2), ' ', similar_text('World', 'Word'), ' ', levenshtein('kitten', 'sitting'), PHP_EOL;
echo date('Y-m-d', 0), ' ', serialize([1, 'a' => 1.5, 'n' => null]), ' ', bin2hex(pack('nvN', 1, 2, 3)), ' ', base64_encode(gzcompress(str_repeat('a', 100)) !== '' ? 'ok' : ''), PHP_EOL; mt_srand(5); echo mt_rand(), ' ', mt_rand(1, 6), ' ', PHP_EOL;
foreach ([3 => 'c', 1 => 'a'] as $k => $v) echo "$k:$v "; $f = fopen('written', 'w'); fwrite($f, "data\n"); fclose($f); echo filesize('written'), ' ', shell_exec('echo sub'); try { echo 1 % 0; } catch (DivisionByZeroError $e) { echo $e->getMessage(), PHP_EOL; } exit(4);
