# Loops, functions, expansions, redirections, pipelines, traps and jobs of any POSIX shell.
set -u
fact() { if [ "$1" -le 1 ]; then echo 1; else echo $(( $1 * $(fact $(($1 - 1))) )); fi; }
fact 6
v=path/to/file.tar.gz
echo "${v##*/} ${v%.*} ${v#*/} ${v%%.*} ${#v} ${unset:-default} ${v:+set}"
i=0
while [ $i -lt 500 ]; do i=$((i + 1)); done
echo $i $((0x1f + 010)) $((1 << 20)) $((-7 / 2)) $((-7 % 3))
for f in tree/*; do
  case $f in *one) echo "one: $f" ;; *link) echo "a link" ;; *) echo "other $f" ;; esac
done
printf '%s-%03d|' a 7 b 8; echo
seq 20 | while read -r n; do [ $((n % 6)) -eq 0 ] && echo "six $n"; done
(cd tree && pwd | sed 's,.*/,,'; exit 3); echo "status $?"
exec 4> out.txt; echo to four >&4; exec 4>&-; cat out.txt
cat << END | tr a-z A-Z
here $i document $(echo with command)
END
trap 'echo leaving' EXIT
trap 'echo usr1' USR1; kill -USR1 $$
sleep 0.01 & wait $!; echo "waited $?"
echo one two three | { read -r a b; echo "$b $a"; }
set -- x 'y z' w; echo $# "$2"; shift; echo "$*"
IFS=:; set -- $(echo a:b:c); echo $3
eval 'echo evaluated $((1 + 1))'
! false && echo negated
umask 027; : > masked; ls -l masked | cut -c1-10
grep -c fox text; sort -n numbers | head -1
nosuchcommand 2>/dev/null; echo "not found $?"
exit 7
