/* s390x: PCI memory is not in the address space of ordinary instructions.  The accessors
 * (PCI MIO instructions, or the system calls 352 and 353) are not written yet: until then
 * each one says so and touches nothing. */
#ifndef PYMMIO_ARCH_S390X_IO_H
#define PYMMIO_ARCH_S390X_IO_H

#define PM_S390_MISSING(bits)                                                           \
    static inline int pm_load##bits(const volatile void *p, uint##bits##_t *value)      \
    {                                                                                   \
        (void)p;                                                                        \
        *value = 0;                                                                     \
        return PM_MISSING;                                                              \
    }                                                                                   \
    static inline int pm_store##bits(volatile void *p, uint##bits##_t value)            \
    {                                                                                   \
        (void)p;                                                                        \
        (void)value;                                                                    \
        return PM_MISSING;                                                              \
    }

PM_S390_MISSING(8)
PM_S390_MISSING(16)
PM_S390_MISSING(32)
PM_S390_MISSING(64)

/* Serialisation: BCR 15,0 (Principles of Operation SA22-7832-13, 5-133); storage accesses
 * are otherwise seen in order by other observers, except a load passing a store (5-119). */
static inline void pm_dma_wmb(void) { __asm__ volatile("" ::: "memory"); }
static inline void pm_dma_rmb(void) { __asm__ volatile("" ::: "memory"); }
static inline void pm_dma_mb(void) { __asm__ volatile("bcr 15,0" ::: "memory"); }
static inline void pm_mmio_wmb(void) { __asm__ volatile("bcr 15,0" ::: "memory"); }
static inline void pm_cpu_relax(void) { __asm__ volatile("" ::: "memory"); }

#define PM_PC(uc) ((uc)->uc_mcontext.psw.addr)

#endif
