#include <iostream>
#include <map>
#include <string>
#include <vector>
template <class T> T total(const std::vector<T> &v) { T s{}; for (const T &x : v) s += x; return s; }
int main() {
  std::map<std::string, int> m{{"a", 1}, {"b", 2}};
  for (auto &[k, v] : m) std::cout << k << v << ' ';
  try { m.at("c"); } catch (const std::exception &e) { std::cout << e.what() << '\n'; }
  std::cout << total<double>({1.5, 2.5}) << total<std::string>({"x", "y"}) << std::endl;
}
