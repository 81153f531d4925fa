use strict; use warnings; use utf8;
binmode STDOUT, ':utf8';
my %h; $h{$_ % 13} .= chr(65 + $_ % 26) for 1 .. 3000;
print "$_ ", length $h{$_}, "\n" for sort { $a <=> $b } keys %h;
open my $f, '<:utf8', 'text' or die; my %count; my $long = '';
while (<$f>) { chomp; $count{$1}++ while /(\w+)/g; $long = $_ if length > length $long }
print join(' ', map { "$_=$count{$_}" } (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 15]), "\n$long\n";
(my $s = 'The quick brown fox') =~ s/(\w+)/\u\L$1/g; print scalar reverse($s), ' ', $s =~ tr/a-z//, "\n";
print join(',', sort { $a <=> $b } map { ($_ * 7919) % 1009 } 1 .. 200), "\n";
print join(' ', unpack('NnCa3 d<', pack('NnCa3 d<', 1e9, 65535, 7, 'abc', 3.25))), "\n";
printf "%s %d %.10f %e %x %o %b %5s|%-5s|%05d\n", 'x', -3.9, 1 / 3, 12345.678, 255, 8, 5, 'r', 'l', 42;
local $@; eval { die { code => 42 } }; print $@->{code}, "\n"; eval { my $z = 0; my $x = 1 / $z }; print $@;
package Animal { sub new { my ($c, %a) = @_; bless {%a}, $c } sub speak { my $s = shift; sprintf '%s says %s', $s->{name}, $s->sound } }
package Dog { our @ISA = 'Animal'; sub sound { 'woof' } sub DESTROY { print "gone\n" } }
package main;
{ print Dog->new(name => 'Rex')->speak, "\n" }
my @sorted = sort { $a->[1] <=> $b->[1] or $a->[0] cmp $b->[0] } map { [$_, length] } qw(pear fig banana kiwi apple); print "@{[map { $_->[0] } @sorted]}\n";
my $re = qr/^(?<y>\d{4})-(?<m>\d\d)(?{ 1 })/x; print "$+{y}/$+{m}\n" if '2024-05-06' =~ $re;
my $nested = qr/(\((?:[^()]++|(?1))*\))/; print "$1\n" if 'f(a(b)c)(d)' =~ $nested;
sub fib { my $n = shift; $n < 2 ? $n : fib($n - 1) + fib($n - 2) } print fib(18), "\n";
my @m = map { [map { $_ } 1 .. 20] } 1 .. 20; my $t = 0; for my $i (0 .. 19) { for my $j (0 .. 19) { $t += $m[$i][$j] * $m[$j][$i] % 17 } } print "$t\n";
use POSIX qw(floor fmod strtol strftime); print floor(-3.5), ' ', fmod(10, 3), ' ', strtol('ff', 16), ' ', strftime('%F %T', gmtime 1e9), "\n";
use List::Util qw(sum max first reduce); print sum(1 .. 1000), ' ', max(3, 9, 2), ' ', first { $_ > 5 } (1 .. 9); print ' ', reduce { $a * $b } 1 .. 15; print "\n";
use Digest::MD5 'md5_hex'; print md5_hex('hello'), ' ', join('', map { sprintf '%02x', ord } split //, "\x{e9}"), ' ', uc('straße'), "\n";
print "sorted hash: ", join(',', map { "$_->[0]" } sort { $a->[0] cmp $b->[0] } map { [$_] } keys %count), "\n";
my $str = join '', map { chr(32 + $_ % 90) } 1 .. 5000; my $n = 0; $n++ while $str =~ /[aeiou][^aeiou]{1,3}(?=[A-Z0-9])?/g; print "$n\n";
print sprintf('%vd', '1.22.333'), ' ', 10 <=> 9, ' ', 'a' x 5, ' ', "abc" lt "abd", ' ', join('|', 'a1b2c3' =~ /\d/g), "\n"; local $| = 1; exit 9;
