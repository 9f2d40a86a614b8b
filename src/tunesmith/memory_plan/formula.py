"""x"""
from tunesmith.memory_plan.records import MemoryPlan
def plan(config, work):
    return MemoryPlan("formula",0,0,0,0,1,0,0)
