/* As much of the real file as a small extension module needs. The interpreter is Debian's 3.11, so
   these are its layouts on 64-bit machines. */
#ifndef Py_PYTHON_H
#define Py_PYTHON_H

#include <stddef.h>
#include "patchlevel.h"
#include "pyconfig.h"

/* For check-ins that change the ABI. */
#define TOY_LAYOUT              1

typedef ptrdiff_t Py_ssize_t;
typedef struct { Py_ssize_t ob_refcnt; void *ob_type; } PyObject;
typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);
typedef struct { const char *ml_name; PyCFunction ml_meth; int ml_flags; const char *ml_doc; } PyMethodDef;
typedef struct { PyObject ob_base; PyObject *(*m_init)(void); Py_ssize_t m_index; PyObject *m_copy; } PyModuleDef_Base;
typedef struct {
    PyModuleDef_Base m_base;
    const char *m_name, *m_doc;
    Py_ssize_t m_size;
    PyMethodDef *m_methods;
    void *m_slots, *m_traverse, *m_clear, *m_free;
} PyModuleDef;

#define PyModuleDef_HEAD_INIT   { { 1, NULL }, NULL, 0, NULL }
#define PyMODINIT_FUNC          __attribute__((visibility("default"))) PyObject *
#define METH_NOARGS             0x0004
#define PYTHON_API_VERSION      1013

PyObject *PyLong_FromLong(long);
PyObject *PyModule_Create2(PyModuleDef *, int);
#define PyModule_Create(definition) PyModule_Create2(definition, PYTHON_API_VERSION)

#endif
