/* The toy is never configured; there is nothing to say. */
#define TOY_CONFIGURED          1
