// SPDX-License-Identifier: GPL-2.0
/*
 * A program with a bug for each of tools/check-static's checkers of the library
 * and of programs: one that does not find its own is broken. Never run.
 */
#include <stddef.h>

/* clang: main() gives it NULL in one of two ways */
static int follow(int *number)
{
	return *number;
}

/* cppcheck: one too many */
static int sum(void)
{
	int numbers[4] = { 1, 2, 3, 4 }, all = 0;
	int i;

	for (i = 0; i <= 4; i++)
		all += numbers[i];
	return all;
}

int main(int argc, char **argv)
{
	int number = sum();

	return follow(argc > 1 ? NULL : &number);
}
