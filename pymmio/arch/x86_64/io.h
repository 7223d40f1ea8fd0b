/* x86_64: MOV is one access for naturally aligned 1, 2, 4, 8 bytes
 * (Intel SDM vol. 3A, 9.1.1 "Guaranteed Atomic Operations"; AMD64 APM vol. 2, 7.3.2).
 * Uncached (UC) accesses are strongly ordered among themselves (SDM vol. 3A, 12.3). */
#ifndef PYMMIO_ARCH_X86_64_IO_H
#define PYMMIO_ARCH_X86_64_IO_H

#define PM_X86_LOAD(bits, mov, constraint)                                              \
    static inline int pm_load##bits(const volatile void *p, uint##bits##_t *value)      \
    {                                                                                   \
        int error = 0;                                                                  \
        uint##bits##_t v;                                                               \
        __asm__ volatile("1: " mov " %[m], %[v]\n"                                      \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("movl $1, %[e]\n jmp 2b")                          \
                         PM_EX_TABLE(bits / 8)                                          \
                         : [v] constraint(v), [e] "+r"(error)                           \
                         : [m] "m"(*(const volatile uint##bits##_t *)p));               \
        *value = v;                                                                     \
        return error;                                                                   \
    }

#define PM_X86_STORE(bits, mov, constraint)                                             \
    static inline int pm_store##bits(volatile void *p, uint##bits##_t value)            \
    {                                                                                   \
        int error = 0;                                                                  \
        __asm__ volatile("1: " mov " %[v], %[m]\n"                                      \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("movl $1, %[e]\n jmp 2b")                          \
                         PM_EX_TABLE(bits / 8 | PM_EX_STORE)                            \
                         : [m] "=m"(*(volatile uint##bits##_t *)p), [e] "+r"(error)     \
                         : [v] constraint(value));                                      \
        return error;                                                                   \
    }

PM_X86_LOAD(8, "movb", "=q")
PM_X86_LOAD(16, "movw", "=r")
PM_X86_LOAD(32, "movl", "=r")
PM_X86_LOAD(64, "movq", "=r")
PM_X86_STORE(8, "movb", "q")
PM_X86_STORE(16, "movw", "r")
PM_X86_STORE(32, "movl", "r")
PM_X86_STORE(64, "movq", "r")

/* Stores to write-back memory and to UC memory are seen in program order, loads are not
 * moved before earlier loads (SDM vol. 3A, 9.2.2): only the compiler must keep order. */
static inline void pm_dma_wmb(void) { __asm__ volatile("" ::: "memory"); }
static inline void pm_dma_rmb(void) { __asm__ volatile("" ::: "memory"); }
/* A later load may pass an earlier store: MFENCE orders them (SDM vol. 2B, MFENCE). */
static inline void pm_dma_mb(void) { __asm__ volatile("mfence" ::: "memory"); }
/* SFENCE drains write-combining buffers (SDM vol. 3A, 12.3.1). */
static inline void pm_mmio_wmb(void) { __asm__ volatile("sfence" ::: "memory"); }
static inline void pm_cpu_relax(void) { __asm__ volatile("pause"); }

#define PM_PC(uc) ((uc)->uc_mcontext.gregs[REG_RIP])

#endif
