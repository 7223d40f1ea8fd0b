/* aarch64: LDR/STR of one register is a single-copy atomic access when naturally aligned
 * (Arm ARM DDI 0487, B2.2.1).  A plain base register only: a hypervisor cannot emulate
 * write-back forms (no valid syndrome in ESR_EL2.ISV, DDI 0487, D24 ESR_ELx "Data Abort").
 * Accesses to one peripheral mapped Device-nGnRE stay in order (B2.7.2). */
#ifndef PYMMIO_ARCH_AARCH64_IO_H
#define PYMMIO_ARCH_AARCH64_IO_H

#define PM_ARM_LOAD(bits, ldr, reg)                                                     \
    static inline int pm_load##bits(const volatile void *p, uint##bits##_t *value)      \
    {                                                                                   \
        int error = 0;                                                                  \
        uint64_t v;                                                                     \
        __asm__ volatile("1: " ldr " %" reg "[v], [%[p]]\n"                             \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("mov %w[e], #1\n b 2b")                            \
                         PM_EX_TABLE(bits / 8)                                          \
                         : [v] "=r"(v), [e] "+r"(error)                                 \
                         : [p] "r"(p)                                                   \
                         : "memory");                                                   \
        *value = (uint##bits##_t)v;                                                     \
        return error;                                                                   \
    }

#define PM_ARM_STORE(bits, str, reg)                                                    \
    static inline int pm_store##bits(volatile void *p, uint##bits##_t value)            \
    {                                                                                   \
        int error = 0;                                                                  \
        __asm__ volatile("1: " str " %" reg "[v], [%[p]]\n"                             \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("mov %w[e], #1\n b 2b")                            \
                         PM_EX_TABLE(bits / 8 | PM_EX_STORE)                            \
                         : [e] "+r"(error)                                              \
                         : [p] "r"(p), [v] "r"((uint64_t)value)                         \
                         : "memory");                                                   \
        return error;                                                                   \
    }

PM_ARM_LOAD(8, "ldrb", "w")
PM_ARM_LOAD(16, "ldrh", "w")
PM_ARM_LOAD(32, "ldr", "w")
PM_ARM_LOAD(64, "ldr", "x")
PM_ARM_STORE(8, "strb", "w")
PM_ARM_STORE(16, "strh", "w")
PM_ARM_STORE(32, "str", "w")
PM_ARM_STORE(64, "str", "x")

/* Devices are in the outer shareable domain (DDI 0487, B2.3.7 "Data Memory Barrier"). */
static inline void pm_dma_wmb(void) { __asm__ volatile("dmb oshst" ::: "memory"); }
static inline void pm_dma_rmb(void) { __asm__ volatile("dmb oshld" ::: "memory"); }
static inline void pm_dma_mb(void) { __asm__ volatile("dmb osh" ::: "memory"); }
/* DSB: complete, not just ordered, so that gathered (Normal-NC) stores leave the core. */
static inline void pm_mmio_wmb(void) { __asm__ volatile("dsb st" ::: "memory"); }
static inline void pm_cpu_relax(void) { __asm__ volatile("yield"); }

#define PM_PC(uc) ((uc)->uc_mcontext.pc)

#endif
