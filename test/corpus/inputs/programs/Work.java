import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;

public class Work {
  static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
  public static void main(String[] a) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(3);
    List<Future<Integer>> f = new ArrayList<>();
    for (int i = 0; i < 6; i++) { final int k = i; f.add(pool.submit(() -> fib(18 + k % 3))); }
    long sum = 0; for (Future<Integer> x : f) sum += x.get();
    System.out.println("sum " + sum);
    AtomicLong n = new AtomicLong(); Thread[] t = new Thread[3];
    for (int i = 0; i < 3; i++) { t[i] = new Thread(() -> { for (int k = 0; k < 10000; k++) n.incrementAndGet(); }); t[i].start(); }
    for (Thread x : t) x.join();
    System.out.println("counted " + n);
    Object none = null;
    int caught = 0; for (int i = 0; i < 20000; i++) try { none.hashCode(); } catch (NullPointerException e) { caught++; }
    System.out.println("null pointers " + caught);
    try { deep(0); } catch (StackOverflowError e) { System.out.println("stack overflow"); }
    Map<String, Integer> m = new TreeMap<>(); for (int i = 0; i < 50000; i++) m.merge("k" + i % 100, 1, Integer::sum);
    System.out.println(m.get("k7")); System.gc();
    Process p = new ProcessBuilder("sh", "-c", "echo child; exit 4").inheritIO().start();
    System.out.println("exit " + p.waitFor());
    pool.shutdown(); System.out.println(pool.awaitTermination(10, TimeUnit.SECONDS));
  }
  static int deep(int n) { return deep(n + 1) + 1; }
}
