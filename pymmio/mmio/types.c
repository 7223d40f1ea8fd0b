/* The two C types of the core: what users touch most, and the buffer protocol.
 *
 * The region type: single accesses on a mapping that go straight to the device.  Whatever
 * is not plain and good (closed, out of bounds, misaligned, a width that the rule treats
 * specially, a fault) is decided by methods of its Python base class: _slow_read(offset,
 * width, order), _slow_write(offset, width, value, order), _faulted(offset, width, value or
 * None, error).  make_region_type(base) makes the type *below* that class, not above it:
 * CPython calls methods of C fastest when they belong to the very type of the object.
 *
 * BufferBase(source): exposes the buffer of another object.  (Python classes can do that
 * themselves from 3.12 on.)
 *
 * Both live in the core's shared object, because their accesses belong in its table, as a
 * second module of that file.
 */
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <structmember.h>

#include "mapping.h"

static void replace(PyObject **slot, PyObject *by)
{
    PyObject *former = *slot;

    Py_XINCREF(by);
    *slot = by;
    Py_XDECREF(former);
}

#define N_ATTRIBUTES 7

typedef struct {
    PyObject_HEAD
    volatile uint8_t *base;
    pm_mapping *mapping;
    /* Offsets below it are inside, for a direct access of this width; 0: none is. */
    size_t end8, end16, end32, end64;
    int swap;
    /* What the Python side keeps here. */
    PyObject *attributes[N_ATTRIBUTES];
    PyObject *weakrefs;
} RegionObject;

static PyObject *name_slow_read, *name_slow_write, *name_faulted;

static size_t end_of(size_t size, unsigned long widths, size_t width)
{
    return (widths & width) && size >= width ? size - width + 1 : 0;
}

/* _bind(mapping address, offset, size, mask of direct widths, swap); the Python side keeps
 * the mapping alive until _unbind(). */
static PyObject *region_bind(PyObject *op, PyObject *args)
{
    RegionObject *self = (RegionObject *)op;
    unsigned long long mapping;
    Py_ssize_t offset, size;
    unsigned long widths;
    int swap;

    if (!PyArg_ParseTuple(args, "Knnkp", &mapping, &offset, &size, &widths, &swap))
        return NULL;
    self->mapping = (pm_mapping *)(uintptr_t)mapping;
    if (!self->mapping || offset < 0 || size < 0 ||
        (size_t)offset > self->mapping->size ||
        (size_t)size > self->mapping->size - (size_t)offset) {
        self->mapping = NULL;
        PyErr_SetString(PyExc_ValueError, "region lies outside its mapping");
        return NULL;
    }
    self->base = self->mapping->base + offset;
    self->end8 = end_of((size_t)size, widths, 1);
    self->end16 = end_of((size_t)size, widths, 2);
    self->end32 = end_of((size_t)size, widths, 4);
    self->end64 = end_of((size_t)size, widths, 8);
    self->swap = swap;
    Py_RETURN_NONE;
}

static void unbind(RegionObject *self)
{
    self->end8 = self->end16 = self->end32 = self->end64 = 0;
    self->base = NULL;
    self->mapping = NULL;
}

/* _unbind(): every later access is decided in Python, which says why it is refused. */
static PyObject *region_unbind(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    unbind((RegionObject *)op);
    Py_RETURN_NONE;
}

static inline int is_direct(const RegionObject *self, size_t offset, size_t end, size_t width)
{
    return offset < end && !(offset & (width - 1)) && !pm_mapping_is_closing(self->mapping);
}

static PyObject *slow_read(PyObject *self, PyObject *offset, int width, PyObject *order)
{
    PyObject *w, *result;

    PyErr_Clear();
    w = PyLong_FromLong(width);
    if (!w)
        return NULL;
    result = PyObject_CallMethodObjArgs(self, name_slow_read, offset, w, order ? order : Py_None,
                                        NULL);
    Py_DECREF(w);
    return result;
}

static PyObject *slow_write(PyObject *self, PyObject *offset, int width, PyObject *value,
                            PyObject *order)
{
    PyObject *w, *result;

    PyErr_Clear();
    w = PyLong_FromLong(width);
    if (!w)
        return NULL;
    result = PyObject_CallMethodObjArgs(self, name_slow_write, offset, w, value,
                                        order ? order : Py_None, NULL);
    Py_DECREF(w);
    return result;
}

static PyObject *faulted(PyObject *self, PyObject *offset, int width, PyObject *value, int error)
{
    PyObject *w = PyLong_FromLong(width), *e = PyLong_FromLong(error), *result = NULL;

    if (w && e)
        result = PyObject_CallMethodObjArgs(self, name_faulted, offset, w,
                                            value ? value : Py_None, e, NULL);
    Py_XDECREF(w);
    Py_XDECREF(e);
    if (result) { /* it has to raise */
        Py_DECREF(result);
        PyErr_SetString(PyExc_SystemError, "_faulted() returned");
    }
    return NULL;
}

/* Negative numbers and everything that is no int give SIZE_MAX: decided in Python. */
static inline size_t as_offset(PyObject *arg) { return PyLong_AsSize_t(arg); }

#define READ(bits, width, convert)                                          \
    {                                                                       \
        RegionObject *self = (RegionObject *)op;                            \
        size_t offset = as_offset(arg);                                     \
        uint##bits##_t value = 0;                                           \
        int error;                                                          \
        if (!is_direct(self, offset, self->end##bits, width))               \
            return slow_read(op, arg, width, NULL);                         \
        error = PM_LOAD(bits, self->mapping->way, self->base + offset, &value); \
        if (error)                                                          \
            return faulted(op, arg, width, NULL, error);                    \
        if (self->swap)                                                     \
            value = (uint##bits##_t)pm_swap(value, width);                  \
        return convert(value);                                              \
    }

#define WRITE(bits, width)                                                  \
    {                                                                       \
        RegionObject *self = (RegionObject *)op;                            \
        size_t offset = as_offset(args[0]);                                 \
        unsigned long long number;                                          \
        uint##bits##_t value;                                               \
        int error;                                                          \
        if (!is_direct(self, offset, self->end##bits, width))               \
            return slow_write(op, args[0], width, args[1], NULL);           \
        number = PyLong_AsUnsignedLongLong(args[1]);                        \
        value = (uint##bits##_t)number;                                     \
        if (number != value || (number == ~0ULL && PyErr_Occurred()))       \
            return slow_write(op, args[0], width, args[1], NULL);           \
        if (self->swap)                                                     \
            value = (uint##bits##_t)pm_swap(value, width);                  \
        error = PM_STORE(bits, self->mapping->way, self->base + offset, value); \
        if (error)                                                          \
            return faulted(op, args[0], width, args[1], error);             \
        Py_RETURN_NONE;                                                     \
    }

static PyObject *region_read8(PyObject *op, PyObject *arg) READ(8, 1, PyLong_FromUnsignedLong)
static PyObject *region_read16(PyObject *op, PyObject *arg) READ(16, 2, PyLong_FromUnsignedLong)
static PyObject *region_read32(PyObject *op, PyObject *arg) READ(32, 4, PyLong_FromUnsignedLong)
static PyObject *read64(PyObject *op, PyObject *arg) READ(64, 8, PyLong_FromUnsignedLongLong)
static PyObject *write8(PyObject *op, PyObject *const *args) WRITE(8, 1)
static PyObject *write16(PyObject *op, PyObject *const *args) WRITE(16, 2)
static PyObject *write32(PyObject *op, PyObject *const *args) WRITE(32, 4)
static PyObject *write64(PyObject *op, PyObject *const *args) WRITE(64, 8)

static int has_arguments(Py_ssize_t n, Py_ssize_t wanted, const char *method, const char *form)
{
    if (n == wanted)
        return 1;
    PyErr_Format(PyExc_TypeError, "%s%s takes %zd arguments, not %zd", method, form, wanted, n);
    return 0;
}

static PyObject *region_write8(PyObject *op, PyObject *const *args, Py_ssize_t n)
{
    return has_arguments(n, 2, "write8", "(offset, value)") ? write8(op, args) : NULL;
}

static PyObject *region_write16(PyObject *op, PyObject *const *args, Py_ssize_t n)
{
    return has_arguments(n, 2, "write16", "(offset, value)") ? write16(op, args) : NULL;
}

static PyObject *region_write32(PyObject *op, PyObject *const *args, Py_ssize_t n)
{
    return has_arguments(n, 2, "write32", "(offset, value)") ? write32(op, args) : NULL;
}

/* 64-bit accesses take an optional order=, which is never the direct way. */
static int order_argument(const char *method, Py_ssize_t positional, PyObject *const *args,
                          Py_ssize_t n, PyObject *names, PyObject **order)
{
    Py_ssize_t n_names = names ? PyTuple_Size(names) : 0;

    *order = NULL;
    if (n < positional || n + n_names > positional + 1) {
        PyErr_Format(PyExc_TypeError, "%s takes %zd arguments and an optional order=, not %zd",
                     method, positional, n + n_names);
        return -1;
    }
    if (n_names == 1) {
        PyObject *name = PyTuple_GetItem(names, 0);
        if (!name || PyUnicode_CompareWithASCIIString(name, "order")) {
            PyErr_Format(PyExc_TypeError, "%s has no argument %R", method, name);
            return -1;
        }
    }
    if (n + n_names == positional + 1 && args[positional] != Py_None)
        *order = args[positional];
    return 0;
}

static PyObject *region_read64(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *order;

    if (order_argument("read64(offset)", 1, args, n, names, &order) < 0)
        return NULL;
    return order ? slow_read(op, args[0], 8, order) : read64(op, args[0]);
}

static PyObject *region_write64(PyObject *op, PyObject *const *args, Py_ssize_t n,
                                PyObject *names)
{
    PyObject *order;

    if (order_argument("write64(offset, value)", 2, args, n, names, &order) < 0)
        return NULL;
    return order ? slow_write(op, args[0], 8, args[1], order) : write64(op, args);
}

static int region_clear(PyObject *op)
{
    RegionObject *self = (RegionObject *)op;

    unbind(self);
    for (int i = 0; i < N_ATTRIBUTES; i++)
        Py_CLEAR(self->attributes[i]);
    return 0;
}

static void region_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    if (((RegionObject *)op)->weakrefs)
        PyObject_ClearWeakRefs(op);
    region_clear(op);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static int region_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    for (int i = 0; i < N_ATTRIBUTES; i++)
        Py_VISIT(((RegionObject *)op)->attributes[i]);
    return 0;
}

#define METHOD(name, flags, doc) {#name, (PyCFunction)(void (*)(void))region_##name, flags, doc}

static PyMethodDef region_methods[] = {
    METHOD(read8, METH_O, "Read 8 bits: exactly one access, or an exception."),
    METHOD(read16, METH_O, "Read 16 bits: exactly one access, or an exception."),
    METHOD(read32, METH_O, "Read 32 bits: exactly one access, or an exception."),
    METHOD(read64, METH_FASTCALL | METH_KEYWORDS,
           "Read 64 bits: one access, or two of 32 bits where order= or the rule says so."),
    METHOD(write8, METH_FASTCALL, "Write 8 bits: exactly one access, or an exception."),
    METHOD(write16, METH_FASTCALL, "Write 16 bits: exactly one access, or an exception."),
    METHOD(write32, METH_FASTCALL, "Write 32 bits: exactly one access, or an exception."),
    METHOD(write64, METH_FASTCALL | METH_KEYWORDS,
           "Write 64 bits: one access, or two of 32 bits where order= or the rule says so."),
    {"_bind", region_bind, METH_VARARGS, NULL},
    {"_unbind", region_unbind, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

#define ATTRIBUTE(name, i)                                                              \
    {name, T_OBJECT_EX, offsetof(RegionObject, attributes) + (i) * sizeof(PyObject *), 0, NULL}

static PyMemberDef region_members[] = {
    ATTRIBUTE("name", 0),
    ATTRIBUTE("size", 1),
    ATTRIBUTE("rule", 2),
    ATTRIBUTE("mapping", 3),
    ATTRIBUTE("_offset", 4),
    ATTRIBUTE("_swap", 5),
    ATTRIBUTE("_state", 6),
    {"__weaklistoffset__", T_PYSSIZET, offsetof(RegionObject, weakrefs), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot region_slots[] = {
    {Py_tp_doc, "A region whose accesses are single instructions on a mapping."},
    {Py_tp_dealloc, region_dealloc},
    {Py_tp_traverse, region_traverse},
    {Py_tp_clear, region_clear},
    {Py_tp_methods, region_methods},
    {Py_tp_members, region_members},
    {0, NULL},
};

static PyType_Spec region_spec = {
    .name = "pymmio.mmio.MappedRegion",
    .basicsize = sizeof(RegionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = region_slots,
};

/* --- BufferBase ---------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *source;
    PyObject *weakrefs;
} BufferObject;

static PyObject *buffer_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *source, *self;

    if (!PyArg_ParseTuple(args, "O:BufferBase", &source))
        return NULL;
    self = alloc(type, 0);
    if (self)
        replace(&((BufferObject *)self)->source, source);
    return self;
}

static Py_ssize_t buffer_length(PyObject *op)
{
    BufferObject *self = (BufferObject *)op;
    return self->source ? PyObject_Size(self->source) : 0;
}

static PyObject *export_type;

/* The exporter that the view names: it has a view of the source, whose counting of views holds.
 * Not the source itself.  That is a memoryview, which the garbage collector may clear before the
 * views of it that stand in the same cycle: CPython then crashes when those are released.  This
 * object is not known to the collector, so what it refers to counts as used. */
typedef struct {
    PyObject_HEAD
    Py_buffer source;
} ExportObject;

static int buffer_get(PyObject *op, Py_buffer *view, int flags)
{
    BufferObject *self = (BufferObject *)op;
    allocfunc alloc = (allocfunc)PyType_GetSlot((PyTypeObject *)export_type, Py_tp_alloc);
    ExportObject *export;

    view->obj = NULL;
    if (!self->source) {
        PyErr_SetString(PyExc_BufferError, "the memory was released");
        return -1;
    }
    export = (ExportObject *)alloc((PyTypeObject *)export_type, 0);
    if (!export)
        return -1;
    if (PyObject_GetBuffer(self->source, &export->source, flags)) {
        Py_DECREF(export);
        return -1;
    }
    *view = export->source;
    view->obj = (PyObject *)export;
    return 0;
}

static void export_release(PyObject *op, Py_buffer *Py_UNUSED(view))
{
    PyBuffer_Release(&((ExportObject *)op)->source);
}

static void export_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyBuffer_Release(&((ExportObject *)op)->source); /* where it was never handed out */
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyType_Slot export_slots[] = {
    {Py_tp_doc, "One view of a BufferBase."},
    {Py_tp_dealloc, export_dealloc},
    {Py_bf_releasebuffer, export_release},
    {0, NULL},
};

static PyType_Spec export_spec = {
    .name = "pymmio.arch._types.Export",
    .basicsize = sizeof(ExportObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = export_slots,
};

static void buffer_dealloc(PyObject *op)
{
    BufferObject *self = (BufferObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    if (self->weakrefs)
        PyObject_ClearWeakRefs(op);
    Py_CLEAR(self->source);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static int buffer_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((BufferObject *)op)->source);
    return 0;
}

static int buffer_clear(PyObject *op)
{
    Py_CLEAR(((BufferObject *)op)->source);
    return 0;
}

static PyMemberDef buffer_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(BufferObject, weakrefs), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot buffer_slots[] = {
    {Py_tp_doc, "Exposes the buffer of another object; the base of pymmio.dma.DmaBuffer."},
    {Py_tp_new, buffer_new},
    {Py_tp_dealloc, buffer_dealloc},
    {Py_tp_traverse, buffer_traverse},
    {Py_tp_clear, buffer_clear},
    {Py_bf_getbuffer, buffer_get},
    {Py_mp_length, buffer_length},
    {Py_tp_members, buffer_members},
    {0, NULL},
};

static PyType_Spec buffer_spec = {
    .name = "pymmio.arch._types.BufferBase",
    .basicsize = sizeof(BufferObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = buffer_slots,
};

/* --- the module ---------------------------------------------------------------------- */

/* make_region_type(base): base is a class without instance dict and with plain metaclass. */
static PyObject *make_region_type(PyObject *module, PyObject *base)
{
    PyObject *bases = PyTuple_Pack(1, base), *type;

    if (!bases)
        return NULL;
    type = PyType_FromModuleAndSpec(module, &region_spec, bases);
    Py_DECREF(bases);
    return type;
}

static PyMethodDef types_methods[] = {
    {"make_region_type", make_region_type, METH_O, "Make the region type below a class."},
    {NULL, NULL, 0, NULL},
};

static int add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int error;

    if (!type)
        return -1;
    error = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return error;
}

static int types_exec(PyObject *module)
{
    if (!name_slow_read) {
        name_slow_read = PyUnicode_InternFromString("_slow_read");
        name_slow_write = PyUnicode_InternFromString("_slow_write");
        name_faulted = PyUnicode_InternFromString("_faulted");
    }
    if (!name_slow_read || !name_slow_write || !name_faulted)
        return -1;
    if (!export_type)
        export_type = PyType_FromModuleAndSpec(module, &export_spec, NULL);
    if (!export_type)
        return -1;
    return add_type(module, &buffer_spec);
}

static PyModuleDef_Slot types_slots[] = {
    {Py_mod_exec, types_exec},
    {0, NULL},
};

static struct PyModuleDef types_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pymmio.arch._types",
    .m_doc = "C types of the core; they live in the shared object of pymmio.arch._core.",
    .m_methods = types_methods,
    .m_slots = types_slots,
};

PyMODINIT_FUNC PyInit__types(void) { return PyModuleDef_Init(&types_module); }
