// The standard library as programs use it: containers, algorithms, streams, strings, exceptions, ranges, regex.
#include <algorithm>
#include <any>
#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <queue>
#include <random>
#include <ranges>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>
struct Base { virtual ~Base() = default; virtual int f() const { return 1; } };
struct Left : virtual Base { int f() const override { return 2; } };
struct Right : virtual Base { int x = 5; };
struct Both : Left, Right { int f() const override { return Left::f() + x; } };
template <int N> struct Fib { static constexpr long value = Fib<N - 1>::value + Fib<N - 2>::value; };
template <> struct Fib<0> { static constexpr long value = 0; };
template <> struct Fib<1> { static constexpr long value = 1; };
struct Noisy { int n; explicit Noisy(int k) : n(k) {} ~Noisy() { std::cout << '~' << n << ' '; } };
static int thrower(int depth) { Noisy n(depth); if (depth == 0) throw std::runtime_error("bottom"); return thrower(depth - 1) + 1; }
int main() {
  std::mt19937_64 random(42);
  std::vector<int> v(5000); std::generate(v.begin(), v.end(), [&] { return int(random() % 10007); });
  auto sorted = v; std::sort(sorted.begin(), sorted.end()); std::stable_partition(v.begin(), v.end(), [](int x) { return x % 3 == 0; });
  std::cout << sorted[2500] << ' ' << std::accumulate(v.begin(), v.end(), 0LL) << ' ' << std::is_sorted(sorted.begin(), sorted.end()) << ' ' << std::unique(sorted.begin(), sorted.end()) - sorted.begin() << '\n';
  std::map<std::string, int> words; std::ifstream in("text"); for (std::string w; in >> w;) ++words[w]; int shown = 0; for (auto &[w, n] : words) if (n > 150 && shown++ < 10) std::cout << w << '=' << n << ' ';
  std::unordered_map<int, std::string> u; for (int k = 0; k < 3000; k++) u[k * 7919 % 4001] += std::to_string(k); std::size_t sum = 0; for (auto &[k, s] : u) sum += k * s.size(); std::cout << sum << '\n';
  std::priority_queue<double> q; for (int k = 0; k < 100; k++) q.push(std::sin(k)); std::cout << std::fixed << std::setprecision(9) << q.top() << ' ' << std::scientific << std::sqrt(2.0) << ' ' << std::hex << 255 << ' ' << std::setw(8) << std::setfill('*') << std::dec << 42 << std::defaultfloat << '\n';
  std::cout << Both().f() << ' ' << Fib<60>::value << ' ' << dynamic_cast<Right *>(static_cast<Base *>(new Both))->x << ' ' << std::bitset<16>(0xabc) << ' ' << std::complex<double>(1, 2) * std::complex<double>(0, 1) << '\n';
  try { thrower(5); } catch (const std::exception &e) { std::cout << e.what() << '\n'; } try { std::vector<int>().at(3); } catch (const std::out_of_range &) { std::cout << "range\n"; } try { throw 7; } catch (...) { std::cout << "other\n"; }
  std::variant<int, std::string, double> var = "text"; std::cout << std::visit([](auto &&x) { std::ostringstream o; o << x; return o.str(); }, var) << ' ' << std::any_cast<int>(std::any(5)) << ' ' << std::optional<int>().value_or(9) << '\n';
  std::regex re(R"((\w+)@(\w+)\.com)"); std::string mail = "joe@example.com, ann@test.com"; for (std::sregex_iterator it(mail.begin(), mail.end(), re), end; it != end; ++it) std::cout << (*it)[1] << '/' << (*it)[2] << ' '; std::cout << std::regex_replace(mail, re, "<$1>") << '\n';
  for (int x : std::views::iota(1) | std::views::filter([](int k) { return k % 7 == 3; }) | std::views::transform([](int k) { return k * k; }) | std::views::take(6)) std::cout << x << ' ';
  std::shared_ptr<Noisy> a = std::make_shared<Noisy>(100), b = a; std::weak_ptr<Noisy> w = a; std::cout << a.use_count() << w.expired() << '\n'; a.reset(); b.reset(); std::list<int> l{3, 1, 2}; l.sort(); l.reverse(); for (int x : l) std::cout << x; std::cout << '\n';
  std::function<int(int)> fact = [&](int n) { return n < 2 ? 1 : n * fact(n - 1); }; std::cout << fact(10) << ' ' << std::stod("1e-5") << ' ' << std::stoi("ff", nullptr, 16) << ' ' << std::to_string(1.5) << '\n';
  std::normal_distribution<> normal; std::mt19937 r32(1); double t = 0; for (int k = 0; k < 1000; k++) t += normal(r32); std::cout << std::setprecision(12) << t << ' ' << std::gcd(1071, 462) << '\n';
  std::deque<std::string> dq; for (int k = 0; k < 200; k++) k % 2 ? dq.push_back(std::string(k, 'x')) : dq.push_front("y"); std::cout << dq.size() << dq.back().size() << '\n'; namespace fs = std::filesystem; std::set<std::string> names; for (auto &e : fs::recursive_directory_iterator("tree")) names.insert(e.path().string()); for (auto &n : names) std::cout << n << ' '; std::cout << fs::file_size("text") << std::endl;
  std::ofstream("written") << std::quoted("data \"x\"") << '\n'; try { std::cout.imbue(std::locale("C")); throw std::logic_error("end"); } catch (std::logic_error &e) { std::cout << e.what() << '\n'; } return 12;
}
