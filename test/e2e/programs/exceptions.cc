#include <algorithm>
#include <chrono>
#include <complex>
#include <functional>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>
struct Noisy { std::string n; Noisy(std::string s) : n(s) {} ~Noisy() { std::cout << "~" << n << "\n"; } };
struct Base { virtual ~Base() {} virtual int f() = 0; };
struct D1 : Base { int f() override { return 1; } };
struct D2 : Base { int f() override { return 2; } };
static int thrower(int depth) { Noisy n("level " + std::to_string(depth)); if (depth == 0) throw std::runtime_error("bottom"); return thrower(depth - 1); }
int main() {
  try { thrower(4); } catch (const std::exception &e) { std::cout << "caught " << e.what() << "\n"; }
  try { try { throw 42; } catch (int x) { std::cout << x << "\n"; throw std::string("again"); } } catch (const std::string &s) { std::cout << s << "\n"; }
  try { std::vector<int> v(3); v.at(10) = 1; } catch (const std::out_of_range &e) { std::cout << "range\n"; }
  int count = 0;
  for (int i = 0; i < 2000; i++) try { if (i % 3 == 0) throw i; count++; } catch (int k) { count += k % 2; }
  std::cout << count << "\n";
  std::map<std::string, int> m;
  for (int i = 0; i < 500; i++) m["k" + std::to_string(i * 7 % 101)] += i;
  for (auto &[k, v] : m) if (v > 1400) std::cout << k << "=" << v << " ";
  std::cout << "\n" << std::setprecision(15) << 1.0 / 3 << " " << std::hex << 255 << std::dec << " " << std::fixed << 2.5 << "\n";
  std::vector<std::unique_ptr<Base>> v;
  for (int i = 0; i < 10; i++) if (i % 2) v.push_back(std::make_unique<D1>()); else v.push_back(std::make_unique<D2>());
  std::cout << std::accumulate(v.begin(), v.end(), 0, [](int a, auto &b) { return a + b->f(); }) << "\n";
  std::regex re("(\\w+)@(\\w+)\\.com");
  std::smatch match;
  std::string text = "mail joe@example.com now";
  if (std::regex_search(text, match, re)) std::cout << match[1] << " at " << match[2] << "\n";
  std::complex<double> z(1, 2);
  std::cout << z * z << " " << std::abs(z) << "\n";
  std::stringstream ss;
  ss << 1.5 << " " << 7 << " word";
  double d; int i; std::string w;
  ss >> d >> i >> w;
  std::cout << d + i << w << "\n";
  Base *b = new D1;
  std::cout << (dynamic_cast<D2 *>(b) == nullptr) << typeid(*b).name() << "\n";
  throw std::logic_error("uncaught on purpose");
}
