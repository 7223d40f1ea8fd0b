/* Writing the processor's caches back to persistent memory.
 *
 * Every <arch>/persist.h defines:
 *   int pm_wb_detect(void)               PM_WB_* that this processor has, the best of them
 *   void pm_wb_line(int kind, const char *p)  write back the line at p; ordered by pm_wb_fence
 *   void pm_wb_fence(int kind)           what was written back before is durable afterwards
 *   size_t pm_wb_line_size(void)         bytes
 *   PM_HAS_STREAM and pm_stream_64(to, from): 64 bytes past the caches, both 16-aligned at to
 */
#ifndef PYMMIO_ARCH_PERSIST_H
#define PYMMIO_ARCH_PERSIST_H

#include <stddef.h>
#include <stdint.h>

#define PM_WB_NONE 0       /* not known, or not allowed to programs */
#define PM_WB_CLFLUSH 1    /* x86: write back and invalidate, one line after the other */
#define PM_WB_CLFLUSHOPT 2 /* x86: the same, in any order */
#define PM_WB_CLWB 3       /* x86: write back, keep the line */
#define PM_WB_DC_CVAC 4    /* aarch64: to the point of coherency */
#define PM_WB_DC_CVAP 5    /* aarch64: to the point of persistence */
#define PM_WB_DCBST 6      /* ppc64: store */
#define PM_WB_DCBSTPS 7    /* ppc64, ISA 3.1: store to persistent storage */
#define PM_WB_CBO_CLEAN 8  /* riscv64: Zicbom */
#define PM_WB_NOT_NEEDED 9 /* s390x: the host sees to it; only order is needed */

#if defined(__x86_64__)
#include "x86_64/persist.h"
#elif defined(__aarch64__)
#include "aarch64/persist.h"
#elif defined(__riscv)
#include "riscv64/persist.h"
#elif defined(__powerpc64__)
#include "ppc64le/persist.h"
#elif defined(__s390x__)
#include "s390x/persist.h"
#endif

#endif
