/* ppc64le: a naturally aligned fixed-point load or store is one access
 * (Power ISA 3.0B, Book II, 1.4 "Single-Copy Atomicity").  EIEIO keeps accesses to
 * Caching Inhibited, Guarded storage in order (Book II, 4.6.3). */
#ifndef PYMMIO_ARCH_PPC64LE_IO_H
#define PYMMIO_ARCH_PPC64LE_IO_H

#define PM_PPC_LOAD(bits, ld)                                                           \
    static inline int pm_load##bits(const volatile void *p, uint##bits##_t *value)      \
    {                                                                                   \
        int error = 0;                                                                  \
        uint64_t v;                                                                     \
        __asm__ volatile("eieio\n"                                                      \
                         "1: " ld " %[v], 0(%[p])\n"                                    \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("li %[e], 1\n b 2b")                               \
                         PM_EX_TABLE(bits / 8)                                          \
                         : [v] "=r"(v), [e] "+r"(error)                                 \
                         : [p] "b"(p)                                                   \
                         : "memory");                                                   \
        *value = (uint##bits##_t)v;                                                     \
        return error;                                                                   \
    }

#define PM_PPC_STORE(bits, st)                                                          \
    static inline int pm_store##bits(volatile void *p, uint##bits##_t value)            \
    {                                                                                   \
        int error = 0;                                                                  \
        __asm__ volatile("eieio\n"                                                      \
                         "1: " st " %[v], 0(%[p])\n"                                    \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("li %[e], 1\n b 2b")                               \
                         PM_EX_TABLE(bits / 8 | PM_EX_STORE)                            \
                         : [e] "+r"(error)                                              \
                         : [p] "b"(p), [v] "r"((uint64_t)value)                         \
                         : "memory");                                                   \
        return error;                                                                   \
    }

PM_PPC_LOAD(8, "lbz")
PM_PPC_LOAD(16, "lhz")
PM_PPC_LOAD(32, "lwz")
PM_PPC_LOAD(64, "ld")
PM_PPC_STORE(8, "stb")
PM_PPC_STORE(16, "sth")
PM_PPC_STORE(32, "stw")
PM_PPC_STORE(64, "std")

/* Only SYNC orders cacheable against caching-inhibited storage (Book II, 4.6.3). */
static inline void pm_dma_wmb(void) { __asm__ volatile("sync" ::: "memory"); }
static inline void pm_dma_rmb(void) { __asm__ volatile("sync" ::: "memory"); }
static inline void pm_dma_mb(void) { __asm__ volatile("sync" ::: "memory"); }
static inline void pm_mmio_wmb(void) { __asm__ volatile("sync" ::: "memory"); }
static inline void pm_cpu_relax(void) { __asm__ volatile("or 27,27,27"); } /* yield hint */

#define PM_PC(uc) ((uc)->uc_mcontext.gp_regs[32]) /* PT_NIP */

#endif
