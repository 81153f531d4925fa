// std::thread, futures, condition variables, thread-local objects, exceptions across threads.
#include <atomic>
#include <condition_variable>
#include <future>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>
thread_local std::vector<int> mine;
static std::atomic<int> gone;
struct Watch { ~Watch() { gone++; } };
int main() {
  std::mutex m; std::condition_variable cv; int turn = 0; long sum = 0; std::vector<std::thread> ts;
  for (int id = 0; id < 3; id++) ts.emplace_back([&, id] {
    thread_local Watch w; (void)&w;
    for (int k = 0; k < 50; k++) { std::unique_lock<std::mutex> l(m); cv.wait(l, [&] { return turn == id; }); turn = (turn + 1) % 3; mine.push_back(k); sum += mine.size(); cv.notify_all(); }
  });
  for (auto &t : ts) t.join();
  std::cout << sum << ' ' << gone << '\n';
  auto f = std::async(std::launch::async, []() -> int { throw std::runtime_error("from a thread"); });
  try { f.get(); } catch (const std::exception &e) { std::cout << e.what() << '\n'; }
  std::promise<int> p; std::thread t([&] { p.set_value(42); }); std::cout << p.get_future().get() << '\n'; t.join();
  std::once_flag once; std::atomic<int> n{0}; std::vector<std::thread> us; for (int k = 0; k < 4; k++) us.emplace_back([&] { std::call_once(once, [&] { n++; }); }); for (auto &u : us) u.join();
  std::cout << n << '\n';
}
