/* SPDX-License-Identifier: MIT */
/* apps/httpd/routes.h - the one table of routes. */
#ifndef HTTPD_ROUTES_H
#define HTTPD_ROUTES_H

#include <co/http.h>

/* Ends with a zero entry. The handlers' ctx is a struct app. */
extern const struct co_http_route routes[];

#endif
