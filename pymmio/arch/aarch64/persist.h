/* aarch64: DC CVAP where the processor has it, else DC CVAC (Arm ARM DDI 0487, C5.3 "DC CVAP",
 * "DC CVAC", D7.5 point of persistence; Linux allows both to programs, SCTLR_EL1.UCI). */
#ifndef PYMMIO_ARCH_AARCH64_PERSIST_H
#define PYMMIO_ARCH_AARCH64_PERSIST_H

#include <sys/auxv.h>

#define PM_HWCAP_DCPOP (1ul << 16) /* Linux arch/arm64/include/uapi/asm/hwcap.h */

static inline int pm_wb_detect(void)
{
    return getauxval(AT_HWCAP) & PM_HWCAP_DCPOP ? PM_WB_DC_CVAP : PM_WB_DC_CVAC;
}

static inline size_t pm_wb_line_size(void)
{
    uint64_t ctr;

    __asm__ volatile("mrs %0, ctr_el0" : "=r"(ctr));
    return (size_t)4 << (ctr >> 16 & 0xf); /* CTR_EL0.DminLine, in words */
}

static inline void pm_wb_line(int kind, const char *p)
{
    if (kind == PM_WB_DC_CVAP)
        __asm__ volatile("sys #3, c7, c12, #1, %0" ::"r"(p) : "memory"); /* DC CVAP */
    else
        __asm__ volatile("dc cvac, %0" ::"r"(p) : "memory");
}

static inline void pm_wb_fence(int kind)
{
    (void)kind;
    __asm__ volatile("dsb sy" ::: "memory");
}

#endif
