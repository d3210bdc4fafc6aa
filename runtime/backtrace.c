/* SPDX-License-Identifier: MIT */
/*
 * backtrace.c - frame chains, and module names out of /proc/self/maps.
 *
 * Both ABIs lay a frame record out alike: [fp] is the caller's fp, [fp + 8] the return address. A
 * walk moves strictly towards the bottom of the stack, so it ends. make_fcontext leaves an address
 * of code in the first fp of a stack, which lies outside the bounds and so ends the walk as well.
 *
 * dladdr and dl_iterate_phdr take locks that the interrupted code may hold; open and read do not.
 */
#include "backtrace.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <ucontext.h>

enum { WORD = sizeof(uintptr_t), LINE_SIZE = 512 };

/* A stack is read while its coroutine may run or its frames may be poisoned: no sanitizer looks. */
#define UNCHECKED __attribute__((noinline, no_sanitize("address", "thread")))

/* Offsets in what fcontext (Boost 1.74 and later) pushes before it leaves a stack. */
#if defined(__x86_64__)
enum { SAVED_FP = 0x30, SAVED_PC = 0x38 };
#elif defined(__aarch64__)
enum { SAVED_FP = 0x90, SAVED_PC = 0xa0 };
#else
#error "Corvid runs on x86-64 and aarch64."
#endif

UNCHECKED static uintptr_t load(uintptr_t at)
{
    return *(const uintptr_t *)at; /* NOLINT(clang-analyzer-core.NullDereference): callers check */
}

/* Takes the signature of pointer authentication off a return address. */
static uintptr_t plain(uintptr_t pc)
{
#ifdef __aarch64__
    register uintptr_t x30 __asm__("x30") = pc;

    __asm__("hint #7" : "+r"(x30)); /* xpaclri, a nop where there is no such thing */
    return x30;
#else
    return pc;
#endif
}

struct co__frame co__frame_of_signal(const void *context, uintptr_t *ret_sp)
{
    const ucontext_t *at = context;
#if defined(__x86_64__)
    *ret_sp = (uintptr_t)at->uc_mcontext.gregs[REG_RSP];
    return (struct co__frame){.pc = (uintptr_t)at->uc_mcontext.gregs[REG_RIP],
                              .fp = (uintptr_t)at->uc_mcontext.gregs[REG_RBP]};
#else
    *ret_sp = (uintptr_t)at->uc_mcontext.sp;
    return (struct co__frame){.pc = (uintptr_t)at->uc_mcontext.pc,
                              .fp = (uintptr_t)at->uc_mcontext.regs[29]};
#endif
}

struct co__frame co__frame_of_parked(const void *saved)
{
    return (struct co__frame){.pc = plain(load((uintptr_t)saved + SAVED_PC)),
                              .fp = load((uintptr_t)saved + SAVED_FP)};
}

__attribute__((noinline)) struct co__frame co__frame_here(void)
{
    uintptr_t fp = (uintptr_t)__builtin_frame_address(0);

    return (struct co__frame){.pc = plain((uintptr_t)__builtin_return_address(0)) - 1,
                              .fp = load(fp)};
}

bool co__frame_up(struct co__frame *frame, uintptr_t low, uintptr_t high)
{
    uintptr_t fp = frame->fp;
    uintptr_t pc;

    if (fp % WORD != 0 || fp < low || fp >= high || high - fp < (uintptr_t)2 * WORD)
        return false;
    pc = plain(load(fp + WORD));
    if (pc == 0)
        return false;
    frame->pc = pc - 1; /* within the call: the next line may belong to something else */
    frame->fp = load(fp);
    if (frame->fp <= fp)
        frame->fp = 0; /* not the way to the bottom: this frame is the last */
    return true;
}

size_t co__backtrace(struct co__frame frame, uintptr_t low, uintptr_t high, uintptr_t *pc,
                     size_t max)
{
    size_t n = 0;

    while (n < max) {
        pc[n++] = frame.pc;
        if (!co__frame_up(&frame, low, high))
            break;
    }
    return n;
}

size_t co__backtrace_saved(uintptr_t saved, const struct co__stack_view *stack, uintptr_t *pc,
                           size_t max)
{
    uintptr_t fp, at;
    size_t n = 0;

    if (stack->high - saved < SAVED_PC + WORD || !stack->read(stack->arg, saved + SAVED_FP, &fp) ||
        !stack->read(stack->arg, saved + SAVED_PC, &at))
        return 0;
    while (n < max) {
        uintptr_t up;

        pc[n] = plain(at);
        if (n++ > 0)
            pc[n - 1]--; /* as in co__frame_up */
        if (fp % WORD != 0 || fp < stack->low || fp >= stack->high ||
            stack->high - fp < (uintptr_t)2 * WORD || !stack->read(stack->arg, fp, &up) ||
            !stack->read(stack->arg, fp + WORD, &at) || at == 0)
            break;
        fp = up > fp ? up : 0;
    }
    return n;
}

/*
 * /proc/self/maps, line by line:  start-end perms offset device inode   path
 */

struct reader {
    int fd;
    size_t at, end;
    char buf[1024];
};

/*
 * One line without its newline; what is longer than LINE_SIZE is dropped. Returns: whether there
 * was one.
 */
static bool read_line(struct reader *in, char line[LINE_SIZE])
{
    size_t n = 0;

    for (;;) {
        if (in->at == in->end) {
            ssize_t got = read(in->fd, in->buf, sizeof(in->buf));

            if (got <= 0)
                return false;
            in->at = 0;
            in->end = (size_t)got;
        }
        if (in->buf[in->at] == '\n')
            break;
        if (n < LINE_SIZE - 1)
            line[n++] = in->buf[in->at];
        in->at++;
    }
    in->at++;
    line[n] = '\0';
    return true;
}

/* Reads a hexadecimal number and steps over the character behind it. */
static uintptr_t read_hex(const char **at)
{
    uintptr_t value = 0;

    for (; **at != '\0'; (*at)++) {
        const char *digits = "0123456789abcdef";
        const char *digit = strchr(digits, **at);

        if (!digit) {
            (*at)++;
            break;
        }
        value = value << 4 | (uintptr_t)(digit - digits);
    }
    return value;
}

/* Reads a line of maps; *module is the one before, of which the parts of a file share the base. */
static void parse_line(const char *line, struct co__module *module)
{
    const char *at = line;
    uintptr_t start = read_hex(&at);
    uintptr_t end = read_hex(&at);
    bool readable = *at == 'r';
    bool executable = readable && at[1] != '\0' && at[2] == 'x';
    uintptr_t offset;
    const char *name;

    while (*at != '\0' && *at != ' ') /* perms */
        at++;
    at += *at == ' ';
    offset = read_hex(&at);
    name = strrchr(at, '/');
    name = name ? name + 1 : "";
    if (offset == 0 || strncmp(name, module->name, CO__MODULE_NAME - 1) != 0) {
        module->base = start - offset;
        module->readable = readable && offset == 0;
    }
    module->start = start;
    module->end = end;
    module->executable = executable;
    for (size_t i = 0; i < CO__MODULE_NAME - 1; i++) {
        module->name[i] = *name;
        name += *name != '\0';
    }
}

/* What an address has more than addr2line(1) wants: nothing in a program that cannot be moved. */
static uintptr_t bias_of(const struct co__module *module)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)module->base;

    if (module->name[0] == '\0')
        return 0;
    if (module->readable && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
        header->e_type == ET_EXEC)
        return 0;
    return module->base;
}

void co__modules_load(struct co__modules *ret_modules)
{
    struct reader in = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    struct co__module module = {0};
    char line[LINE_SIZE];

    ret_modules->count = 0;
    if (in.fd < 0)
        return;
    while (ret_modules->count < CO__MODULES_MAX && read_line(&in, line)) {
        parse_line(line, &module);
        if (!module.executable || module.name[0] == '\0')
            continue;
        module.bias = bias_of(&module);
        ret_modules->of[ret_modules->count++] = module;
    }
    (void)close(in.fd);
}

void co__modules_text(struct co__text *text, const struct co__modules *modules, uintptr_t pc)
{
    uintptr_t bias = 0;

    for (int i = 0; i < modules->count; i++) {
        if (pc >= modules->of[i].start && pc < modules->of[i].end) {
            co__text_str(text, modules->of[i].name);
            co__text_str(text, "+");
            bias = modules->of[i].bias;
        }
    }
    co__text_hex(text, pc - bias);
}

/* Finds the modules of addresses; those of unknown ones have no name. */
static void find_modules(const uintptr_t *pc, size_t count, struct co__module *ret_modules)
{
    struct reader in = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    struct co__module module = {0};
    char line[LINE_SIZE];

    for (size_t i = 0; i < count; i++)
        ret_modules[i] = (struct co__module){0};
    if (in.fd < 0)
        return;
    while (read_line(&in, line)) {
        parse_line(line, &module);
        for (size_t i = 0; i < count; i++) {
            if (pc[i] >= module.start && pc[i] < module.end)
                ret_modules[i] = module;
        }
    }
    (void)close(in.fd);
}

void co__backtrace_text(struct co__text *text, const uintptr_t *pc, size_t count, size_t first)
{
    struct co__module modules[CO__BACKTRACE_MAX];

    if (count > CO__BACKTRACE_MAX)
        count = CO__BACKTRACE_MAX;
    find_modules(pc, count, modules);
    for (size_t i = 0; i < count; i++) {
        co__text_str(text, "  #");
        co__text_dec(text, first + i);
        co__text_str(text, " ");
        if (modules[i].name[0] != '\0') {
            co__text_str(text, modules[i].name);
            co__text_str(text, "+");
        }
        co__text_hex(text, pc[i] - bias_of(&modules[i]));
        co__text_str(text, "\n");
    }
}
