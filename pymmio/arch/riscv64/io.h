/* riscv64: a naturally aligned load or store of up to XLEN bits is one access
 * (RISC-V Unprivileged ISA 20191213, 2.6; RVWMO 14.1 for ordering).  I/O regions need not
 * be strongly ordered by the ISA, so each access stands behind a fence that keeps it in
 * order with all earlier accesses to I/O, a load behind a store among them (chapter 2.7,
 * FENCE with the i and o bits). */
#ifndef PYMMIO_ARCH_RISCV64_IO_H
#define PYMMIO_ARCH_RISCV64_IO_H

#define PM_RISCV_LOAD(bits, ld)                                                         \
    static inline int pm_load##bits(const volatile void *p, uint##bits##_t *value)      \
    {                                                                                   \
        int error = 0;                                                                  \
        uint64_t v;                                                                     \
        __asm__ volatile("fence io, i\n"                                                \
                         "1: " ld " %[v], 0(%[p])\n"                                    \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("li %[e], 1\n j 2b")                               \
                         PM_EX_TABLE(bits / 8)                                          \
                         : [v] "=r"(v), [e] "+r"(error)                                 \
                         : [p] "r"(p)                                                   \
                         : "memory");                                                   \
        *value = (uint##bits##_t)v;                                                     \
        return error;                                                                   \
    }

#define PM_RISCV_STORE(bits, st)                                                        \
    static inline int pm_store##bits(volatile void *p, uint##bits##_t value)            \
    {                                                                                   \
        int error = 0;                                                                  \
        __asm__ volatile("fence io, o\n"                                                \
                         "1: " st " %[v], 0(%[p])\n"                                    \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("li %[e], 1\n j 2b")                               \
                         PM_EX_TABLE(bits / 8 | PM_EX_STORE)                            \
                         : [e] "+r"(error)                                              \
                         : [p] "r"(p), [v] "r"((uint64_t)value)                         \
                         : "memory");                                                   \
        return error;                                                                   \
    }

PM_RISCV_LOAD(8, "lbu")
PM_RISCV_LOAD(16, "lhu")
PM_RISCV_LOAD(32, "lwu")
PM_RISCV_LOAD(64, "ld")
PM_RISCV_STORE(8, "sb")
PM_RISCV_STORE(16, "sh")
PM_RISCV_STORE(32, "sw")
PM_RISCV_STORE(64, "sd")

static inline void pm_dma_wmb(void) { __asm__ volatile("fence w, ow" ::: "memory"); }
static inline void pm_dma_rmb(void) { __asm__ volatile("fence ir, r" ::: "memory"); }
static inline void pm_dma_mb(void) { __asm__ volatile("fence iorw, iorw" ::: "memory"); }
static inline void pm_mmio_wmb(void) { __asm__ volatile("fence ow, ow" ::: "memory"); }
/* PAUSE (Zihintpause) is a FENCE hint: a no-op where the extension is missing. */
static inline void pm_cpu_relax(void) { __asm__ volatile(".4byte 0x100000f"); }

#define PM_PC(uc) ((uc)->uc_mcontext.__gregs[0])

#endif
