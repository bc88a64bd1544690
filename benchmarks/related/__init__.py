"""The central claims of related papers, each as a ratio on windows that nothing was chosen on.

recipes: how a model is made · claims: which of two has the lower perplexity, by whom · measuring: makes and judges what
is not recorded yet · records: what is · ratios, law: what they say of a claim · table
"""
