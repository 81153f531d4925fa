#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item { char name[24]; double weight; int rank; };
static int by_weight(const void *a, const void *b) {
  const struct item *x = a, *y = b;
  return x->weight < y->weight ? -1 : x->weight > y->weight ? 1 : strcmp(x->name, y->name);
}
static int by_name(const void *a, const void *b) { return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name); }

int shared_entry(int n) {
  unsigned state = 1;
  struct item *items = calloc(n, sizeof *items);
  for (int k = 0; k < n; k++) {
    state = state * 1664525u + 1013904223u;
    snprintf(items[k].name, sizeof items[k].name, "item-%08x", state ^ (unsigned)k);
    items[k].weight = (state >> 8) / 3.0;
    items[k].rank = (int)(state % 1000) - 500;
  }
  qsort(items, n, sizeof *items, by_weight);
  double sum = 0;
  for (int k = 0; k < n; k++) sum = sum * 0.999 + items[k].weight * items[k].rank;
  qsort(items, n, sizeof *items, by_name);
  printf("%s %.3f %d %.6e\n", items[n / 2].name, items[n / 2].weight, items[n / 3].rank, sum);
  free(items);
  return 0;
}
int main(int argc, char **argv) { return shared_entry(argc > 1 ? atoi(argv[1]) : 20000); }
