/* x86_64: CLWB, CLFLUSHOPT, CLFLUSH, and stores past the caches (Intel SDM vol. 2A CLWB,
 * CLFLUSHOPT, CLFLUSH; vol. 2B MOVNTDQ; vol. 1, 11.4.4.2; durable after SFENCE). */
#ifndef PYMMIO_ARCH_X86_64_PERSIST_H
#define PYMMIO_ARCH_X86_64_PERSIST_H

#include <cpuid.h>
#include <emmintrin.h>

static inline int pm_wb_detect(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;

    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) { /* CPUID.07H:EBX */
        if (b & 1u << 24)
            return PM_WB_CLWB;
        if (b & 1u << 23)
            return PM_WB_CLFLUSHOPT;
    }
    if (__get_cpuid(1, &a, &b, &c, &d) && d & 1u << 19) /* CPUID.01H:EDX.CLFSH */
        return PM_WB_CLFLUSH;
    return PM_WB_NONE;
}

static inline size_t pm_wb_line_size(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    size_t size = __get_cpuid(1, &a, &b, &c, &d) ? (b >> 8 & 0xff) * 8 : 0;

    return size ? size : 64;
}

static inline void pm_wb_line(int kind, const char *p)
{
    volatile char *line = (volatile char *)p;

    if (kind == PM_WB_CLWB)
        __asm__ volatile(".byte 0x66; xsaveopt %0" : "+m"(*line)); /* CLWB, for old assemblers */
    else if (kind == PM_WB_CLFLUSHOPT)
        __asm__ volatile(".byte 0x66; clflush %0" : "+m"(*line)); /* CLFLUSHOPT likewise */
    else
        __asm__ volatile("clflush %0" : "+m"(*line));
}

static inline void pm_wb_fence(int kind)
{
    (void)kind;
    __asm__ volatile("sfence" ::: "memory");
}

#define PM_HAS_STREAM
static inline void pm_stream_64(void *to, const void *from)
{
    const __m128i *source = from;
    __m128i *target = to;
    __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1);
    __m128i c = _mm_loadu_si128(source + 2), d = _mm_loadu_si128(source + 3);

    _mm_stream_si128(target, a);
    _mm_stream_si128(target + 1, b);
    _mm_stream_si128(target + 2, c);
    _mm_stream_si128(target + 3, d);
}

#endif
