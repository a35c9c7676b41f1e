// SPDX-License-Identifier: GPL-2.0
/* The code behind the trace points. */
#define CREATE_TRACE_POINTS
#include "trace.h"
