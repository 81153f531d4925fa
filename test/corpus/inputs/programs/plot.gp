set terminal dumb 79 24
f(x) = sin(x) * exp(-x / 5)
plot [0:15] f(x) title "damped"
fit_x = 0
print sprintf("%.6f %.6e %s", f(1), besj0(2.5), strftime("%Y", 0))
set table "out"
set samples 50
plot [0:1] gamma(x + 1)
unset table
stats "numbers"
set terminal svg
set output "out.svg"
splot [-2:2] [-2:2] x**2 - y**2
