; A program without any library: writes its arguments, exits with their number.
default rel
global _start
section .rodata
newline: db 10
section .text
_start: mov r12, [rsp]
        lea r13, [rsp+8]
        mov r14, r12
.next:  test r14, r14
        jz .done
        mov rsi, [r13]
        xor eax, eax
        mov rdi, rsi
        mov rcx, -1
        repne scasb
        not rcx
        lea rdx, [rcx-1]
        mov edi, 1
        mov eax, 1
        syscall
        lea rsi, [newline]
        mov edx, 1
        mov edi, 1
        mov eax, 1
        syscall
        add r13, 8
        dec r14
        jmp .next
.done:  mov edi, r12d
        mov eax, 231
        syscall
        align 32
        times 3 nop
