/* A balanced tree of allocated nodes: malloc, recursion with several live registers, pointers. */
#include <stdio.h>
#include <stdlib.h>
typedef struct Node { struct Node *left, *right; unsigned key, priority; long sum; } Node;
static long sum(const Node *n) { return n ? n->sum : 0; }
static Node *fix(Node *n) { n->sum = n->key + sum(n->left) + sum(n->right); return n; }
static Node *insert(Node *n, unsigned key, unsigned priority) {
  if (!n) { n = malloc(sizeof *n); *n = (Node){0, 0, key, priority, key}; return n; }
  if (key < n->key) {
    n->left = insert(n->left, key, priority);
    if (n->left->priority > n->priority) { Node *l = n->left; n->left = l->right; l->right = fix(n); return fix(l); }
  } else {
    n->right = insert(n->right, key, priority);
    if (n->right->priority > n->priority) { Node *r = n->right; n->right = r->left; r->left = fix(n); return fix(r); }
  }
  return fix(n);
}
static int depth(const Node *n) { if (!n) return 0; int l = depth(n->left), r = depth(n->right); return 1 + (l > r ? l : r); }
static void drop(Node *n) { if (n) { drop(n->left); drop(n->right); free(n); } }
int main(void) {
  for (int r = 0; r < 6; r++) {
    Node *root = 0;
    unsigned s = r + 1;
    for (int i = 0; i < 60000; i++) { unsigned k = s = s * 1103515245 + 12345; s = s * 1103515245 + 12345; root = insert(root, k >> 8, s >> 4); }
    long d = 0;
    for (int i = 0; i < 20; i++) d += depth(root);
    printf("%ld %ld\n", sum(root), d);
    drop(root);
  }
}
