%{
#include <stdio.h>
int yylex(void); void yyerror(const char *s);
%}
%union { double d; }
%token <d> NUM
%type <d> e
%left '+' '-'
%left '*' '/'
%precedence NEG
%%
in: | in e '\n' { printf("%g\n", $2); } ;
e: NUM | e '+' e { $$ = $1 + $3; } | e '-' e { $$ = $1 - $3; } | e '*' e { $$ = $1 * $3; } | e '/' e { $$ = $1 / $3; } | '-' e %prec NEG { $$ = -$2; } | '(' e ')' { $$ = $2; } ;
%%
