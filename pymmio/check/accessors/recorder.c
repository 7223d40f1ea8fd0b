#define _GNU_SOURCE
#include "recorder.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define LOG_SIZE 4096

static pm_recorded entries[LOG_SIZE];
static long n_entries;
static struct {
    uintptr_t base;
    size_t size;
    int is_on;
    volatile int is_stepping;
    uintptr_t next; /* where the program goes on behind the instruction */
    struct sigaction former_fault, former_trap;
} watch;

const pm_recorded *pm_recorder_log(void) { return entries; }

static int in_watched(uintptr_t address)
{
    return address >= watch.base && address < watch.base + watch.size;
}

static void allow(int prot) { mprotect((void *)watch.base, watch.size, prot); }

#if defined(__x86_64__)

#define PC(uc) ((uc)->uc_mcontext.gregs[REG_RIP])
#define TRAP_FLAG 0x100    /* EFLAGS.TF, SDM vol. 1, 3.4.3.3 */
#define FAULT_IS_WRITE 0x2 /* page-fault error code, bit 1: SDM vol. 3A, 4.7 */

static int prepare(void) { return 0; }

static int is_write(const ucontext_t *uc)
{
    return !!(uc->uc_mcontext.gregs[REG_ERR] & FAULT_IS_WRITE);
}

static void step(ucontext_t *uc) { uc->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG; }
static void stepped(ucontext_t *uc) { uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG; }

#elif defined(__aarch64__) || (defined(__riscv) && __riscv_xlen == 64) || \
    (defined(__powerpc64__) && defined(__LITTLE_ENDIAN__))

/* Loads and stores through a pointer do not depend on where they stand, so they can run
 * elsewhere; the few that do (literal loads) never reach watched memory. */
static uint8_t *slot;

#if defined(__aarch64__)
#define PC(uc) ((uc)->uc_mcontext.pc)
#define BREAKPOINT 0xd4200000u /* BRK #0, Arm ARM C6.2 */
#define LENGTH(code) 4u
#elif defined(__riscv)
#define PC(uc) ((uc)->uc_mcontext.__gregs[REG_PC])
#define BREAKPOINT 0x00100073u /* EBREAK, RISC-V Unprivileged ISA 2.8 */
#define LENGTH(code) (((code)[0] & 3) == 3 ? 4u : 2u) /* 1.5: base instruction length */
#else
#define PC(uc) ((uc)->uc_mcontext.gp_regs[32]) /* PT_NIP */
#define BREAKPOINT 0x7fe00008u /* TRAP, Power ISA 3.1, Book I 3.3.11 */
#define LENGTH(code) 4u
#endif

static int prepare(void)
{
    if (slot)
        return 0;
    slot = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slot != MAP_FAILED)
        return 0;
    slot = NULL;
    return errno;
}

static int is_write(const ucontext_t *uc)
{
    (void)uc;
    return -1;
}

static void step(ucontext_t *uc)
{
    const uint8_t *code = (const uint8_t *)(uintptr_t)PC(uc);
    uint32_t breakpoint = BREAKPOINT;
    size_t length = LENGTH(code);

    memcpy(slot, code, length);
    memcpy(slot + length, &breakpoint, sizeof(breakpoint));
    __builtin___clear_cache((char *)slot, (char *)slot + 8);
    watch.next = (uintptr_t)PC(uc) + length;
    PC(uc) = (uintptr_t)slot;
}

static void stepped(ucontext_t *uc) { PC(uc) = watch.next; }

#else
#define CANNOT_RECORD
#endif

#ifdef CANNOT_RECORD

int pm_recorder_works(void) { return 0; }
int pm_recorder_start(void *base, size_t size)
{
    (void)base, (void)size, (void)in_watched, (void)allow;
    return ENOSYS;
}
long pm_recorder_stop(void) { return n_entries; }

#else

int pm_recorder_works(void) { return 1; }

/* Code at the end of its mapping may be shorter than the longest instruction: the rest of a
 * page is always there. */
static size_t readable(uintptr_t pc)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), rest = page - pc % page;

    return rest < PM_CODE_SIZE ? rest : PM_CODE_SIZE;
}

static void enter(const ucontext_t *uc, uintptr_t address)
{
    pm_recorded *entry = &entries[n_entries++];

    entry->pc = (uint64_t)PC(uc);
    entry->address = address;
    entry->is_write = is_write(uc);
    entry->code_size = (uint32_t)readable((uintptr_t)PC(uc));
    memcpy(entry->code, (const void *)(uintptr_t)PC(uc), entry->code_size);
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    uintptr_t address = (uintptr_t)info->si_addr;

    if (info->si_code <= 0 || !in_watched(address) || watch.is_stepping) {
        /* Not ours: the instruction runs again and meets the former handler. */
        sigaction(signal_number, &watch.former_fault, NULL);
        return;
    }
    if (n_entries == LOG_SIZE) {
        n_entries = -1;
        watch.is_on = 0;
    }
    allow(PROT_READ | PROT_WRITE);
    if (!watch.is_on)
        return; /* the log is full: let it run */
    enter(uc, address);
    watch.is_stepping = 1;
    step(uc);
}

static void on_trap(int signal_number, siginfo_t *info, void *context)
{
    (void)info;
    if (!watch.is_stepping) {
        sigaction(signal_number, &watch.former_trap, NULL);
        return;
    }
    stepped(context);
    watch.is_stepping = 0;
    allow(PROT_NONE);
}

static int install(int signal_number, void (*handler)(int, siginfo_t *, void *),
                   struct sigaction *former)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    return sigaction(signal_number, &action, former) ? errno : 0;
}

int pm_recorder_start(void *base, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int error;

    if (watch.is_on || (uintptr_t)base % page || size % page || !size)
        return EINVAL;
    if ((error = prepare()))
        return error;
    watch.base = (uintptr_t)base;
    watch.size = size;
    watch.is_stepping = 0;
    n_entries = 0;
    if ((error = install(SIGSEGV, on_fault, &watch.former_fault)))
        return error;
    if ((error = install(SIGTRAP, on_trap, &watch.former_trap))) {
        sigaction(SIGSEGV, &watch.former_fault, NULL);
        return error;
    }
    watch.is_on = 1;
    if (mprotect(base, size, PROT_NONE)) {
        error = errno;
        pm_recorder_stop();
    }
    return error;
}

long pm_recorder_stop(void)
{
    allow(PROT_READ | PROT_WRITE);
    sigaction(SIGSEGV, &watch.former_fault, NULL);
    sigaction(SIGTRAP, &watch.former_trap, NULL);
    watch.is_on = 0;
    return n_entries;
}

#endif
