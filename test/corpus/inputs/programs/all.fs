: fact ( n -- n! ) dup 2 < if drop 1 else dup 1- recurse * then ;
10 fact . 20 fact . cr
: squares 10 0 do i i * . loop ; squares cr
1e 3e f/ f. 2e fsqrt f. pi f. cr
create a 10 cells allot : fill-a 10 0 do i 7 * 10 mod a i cells + ! loop ; fill-a : show 10 0 do a i cells + @ . loop ; show cr
: gcd begin dup while tuck mod repeat drop ; 1071 462 gcd . hex 255 . decimal -7 2 / . -7 2 mod . 1000000 1000000 m* d. cr
: str s" hello" type ; str ." world" cr depth . bye
