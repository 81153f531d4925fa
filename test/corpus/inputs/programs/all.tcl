proc fib n { expr {$n < 2 ? $n : [fib [expr {$n-1}]] + [fib [expr {$n-2}]]} }
puts [fib 15]; puts [expr {2**100 % 97}]; puts [expr {sin(1) + sqrt(2) * 1e10}]; puts [format "%5.2f|%x|%-5s|%05d" 3.14159 255 ab 42]
set l [lsort -integer {5 3 9 1}]; puts [lmap x $l {expr {$x * $x}}]; puts [lsearch -all -inline {apple bob cat} *a*]
set d [dict create a 1 b 2]; dict for {k v} $d { puts "$k=$v" }; dict incr d a 5; puts [dict get $d a]
set f [open text]; fconfigure $f -encoding utf-8; set n 0; while {[gets $f line] >= 0} { incr n [string length $line] }; close $f; puts $n
puts [regsub -all {(\w)(\w)} "ab cd" {\2\1}]; puts [regexp -inline {(\d+)-(\d+)} "x 12-34"]; puts [string map {a b b a} abba]; puts [string toupper héllo]
puts [catch {error oops} msg]:$msg; try { expr {1/0} } trap {ARITH DIVZERO} m { puts $m }
puts [clock format 0 -gmt 1 -format %Y-%m-%d]; puts [binary encode hex [binary format Ia3 1 abc]]; puts [exec echo sub | tr a-z A-Z]
oo::class create C { variable v; constructor x { set v $x }; method get {} { return $v } }; puts [[C new 7] get]
coroutine co apply {{} { foreach i {1 2 3} { yield $i }; return done }}; puts [co][co][co]
after 10 { set ::done 1 }; vwait done; puts [llength [info commands]]; foreach i {1 2 3} { puts -nonewline "$i " }; puts ""; exit 3
