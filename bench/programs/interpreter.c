/* A small compiler and its bytecode interpreter: parses expressions and loops of a tiny language, runs them through a
 * switch. Also what gcc compiles as a benchmark: parser, hash table, allocation and interpreter in one file. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum Op { PUSH, LOAD, STORE, ADD, SUB, MUL, DIV, MOD, LESS, EQUAL, JUMP, JUMP_IF_ZERO, PRINT, HALT };
typedef struct { enum Op op; long arg; } Code;
typedef struct Symbol { struct Symbol *next; int index; char name[1]; } Symbol;

static Code *code;
static size_t used, room;
static Symbol *table[64];
static int variables;
static const char *at;

static size_t put(enum Op op, long arg) {
  if (used == room) {
    room = room ? room * 2 : 16;
    code = realloc(code, room * sizeof *code);
    if (!code) abort();
  }
  code[used].op = op;
  code[used].arg = arg;
  return used++;
}

static void fail(const char *why) {
  fprintf(stderr, "%s at '%.20s'\n", why, at);
  exit(2);
}
static void space(void) { while (isspace((unsigned char)*at)) at++; }
static int take(const char *word) {
  space();
  size_t n = strlen(word);
  if (strncmp(at, word, n) != 0) return 0;
  if (isalpha((unsigned char)word[0]) && isalnum((unsigned char)at[n])) return 0;
  at += n;
  return 1;
}
static void expect(const char *word) { if (!take(word)) fail(word); }

static int symbol(void) {
  space();
  const char *begin = at;
  while (isalnum((unsigned char)*at)) at++;
  size_t n = at - begin;
  if (n == 0) fail("name expected");
  unsigned h = 5381;
  for (size_t k = 0; k < n; k++) h = h * 33 ^ (unsigned char)begin[k];
  Symbol **place = &table[h % 64];
  for (Symbol *s = *place; s; s = s->next) if (strlen(s->name) == n && memcmp(s->name, begin, n) == 0) return s->index;
  Symbol *s = malloc(sizeof *s + n);
  memcpy(s->name, begin, n);
  s->name[n] = 0;
  s->index = variables++;
  s->next = *place;
  *place = s;
  return s->index;
}

static void expression(void);
static void factor(void) {
  space();
  if (take("(")) {
    expression();
    expect(")");
  } else if (isdigit((unsigned char)*at)) {
    char *end;
    put(PUSH, strtol(at, &end, 10));
    at = end;
  } else put(LOAD, symbol());
}
static void term(void) {
  factor();
  for (;;) {
    if (take("*")) { factor(); put(MUL, 0); }
    else if (take("/")) { factor(); put(DIV, 0); }
    else if (take("%")) { factor(); put(MOD, 0); }
    else return;
  }
}
static void sum(void) {
  term();
  for (;;) {
    if (take("+")) { term(); put(ADD, 0); }
    else if (take("-")) { term(); put(SUB, 0); }
    else return;
  }
}
static void expression(void) {
  sum();
  if (take("<")) { sum(); put(LESS, 0); }
  else if (take("==")) { sum(); put(EQUAL, 0); }
}
static void statement(void) {
  if (take("{")) {
    while (!take("}")) statement();
  } else if (take("while")) {
    size_t top = used;
    expression();
    size_t leave = put(JUMP_IF_ZERO, 0);
    statement();
    put(JUMP, top);
    code[leave].arg = used;
  } else if (take("if")) {
    expression();
    size_t skip = put(JUMP_IF_ZERO, 0);
    statement();
    if (take("else")) {
      size_t leave = put(JUMP, 0);
      code[skip].arg = used;
      statement();
      code[leave].arg = used;
    } else code[skip].arg = used;
  } else if (take("print")) {
    expression();
    put(PRINT, 0);
    expect(";");
  } else {
    int v = symbol();
    expect("=");
    expression();
    put(STORE, v);
    expect(";");
  }
}

static void run(void) {
  long stack[64], *sp = stack, v[64] = {0};
  for (const Code *pc = code;; pc++) {
    switch (pc->op) {
      case PUSH: *sp++ = pc->arg; break;
      case LOAD: *sp++ = v[pc->arg]; break;
      case STORE: v[pc->arg] = *--sp; break;
      case ADD: sp--; sp[-1] += *sp; break;
      case SUB: sp--; sp[-1] -= *sp; break;
      case MUL: sp--; sp[-1] *= *sp; break;
      case DIV: sp--; sp[-1] /= *sp; break;
      case MOD: sp--; sp[-1] %= *sp; break;
      case LESS: sp--; sp[-1] = sp[-1] < *sp; break;
      case EQUAL: sp--; sp[-1] = sp[-1] == *sp; break;
      case JUMP: pc = code + pc->arg - 1; break;
      case JUMP_IF_ZERO: if (*--sp == 0) pc = code + pc->arg - 1; break;
      case PRINT: printf("%ld\n", *--sp); break;
      case HALT: return;
    }
  }
}

int main(void) {
  at = "n = 1; longest = 0; best = 0;"
       "while n < 45000 { x = n; steps = 0;"
       "  while 1 < x { if x % 2 == 0 x = x / 2; else x = 3 * x + 1; steps = steps + 1; }"
       "  if longest < steps { longest = steps; best = n; }"
       "  n = n + 1; }"
       "print best; print longest;";
  for (space(); *at; space()) statement();
  put(HALT, 0);
  run();
  return 0;
}
