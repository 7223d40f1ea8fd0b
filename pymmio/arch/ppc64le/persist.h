/* ppc64le: DCBSTPS of ISA 3.1, else DCBST; durable after PHWSYNC or SYNC (Power ISA 3.1 Book II
 * §4.3.2 "Data Cache Block Store", §4.6.3 "Synchronize"). */
#ifndef PYMMIO_ARCH_PPC64LE_PERSIST_H
#define PYMMIO_ARCH_PPC64LE_PERSIST_H

#include <sys/auxv.h>

#define PM_PPC_ARCH_3_1 0x00040000ul /* AT_HWCAP2; Linux arch/powerpc/include/uapi/asm/cputable.h */

static inline int pm_wb_detect(void)
{
    return getauxval(AT_HWCAP2) & PM_PPC_ARCH_3_1 ? PM_WB_DCBSTPS : PM_WB_DCBST;
}

static inline size_t pm_wb_line_size(void)
{
    size_t size = getauxval(AT_DCACHEBSIZE);

    return size >= 16 && size <= 4096 ? size : 128;
}

static inline void pm_wb_line(int kind, const char *p)
{
    register const char *at __asm__("r3") = p;

    if (kind == PM_WB_DCBSTPS)
        __asm__ volatile(".long 0x7cc018ac" ::"r"(at) : "memory"); /* dcbf 0, r3, L=6 */
    else
        __asm__ volatile("dcbst 0, %0" ::"r"(at) : "memory");
}

/* PHWSYNC is SYNC with L=4, whose third bit is reserved before ISA 3.1; an emulator refuses it. */
static inline void pm_wb_fence(int kind)
{
    if (kind == PM_WB_DCBSTPS)
        __asm__ volatile(".long 0x7c8004ac" ::: "memory"); /* phwsync */
    else
        __asm__ volatile("sync" ::: "memory");
}

#endif
